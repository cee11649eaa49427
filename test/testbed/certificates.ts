import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Files of a certificate, in PEM. */
interface Certificate {
  readonly cert: string
  /** Unencrypted, PKCS #8. */
  readonly key: string
  /** Key and certificate in one file, which Java takes as a keystore of type PEM. */
  readonly keystore: string
}

export interface Authority {
  /** File of its own certificate. */
  readonly cert: string
  /**
   * A certificate for `names`, such as `DNS:localhost` or `IP:127.0.0.1`; its files are called after `name`. It is
   * valid for as many days from now, two where absent; with less than none it was until then.
   */
  issue(name: string, names: readonly string[], days?: number): Promise<Certificate>
}

/** A certificate authority with its files in `folder`, called after `name`. */
export async function certificateAuthority(folder: string, name: string): Promise<Authority> {
  // The distribution's own settings would make every certificate one of an authority.
  const config = join(folder, `${name}.cnf`)
  writeFileSync(config, '[req]\ndistinguished_name = dn\n[dn]\n')

  async function make(file: string, extensions: readonly string[], signer: readonly string[]) {
    const cert = join(folder, `${file}.pem`)
    const key = join(folder, `${file}.key`)
    await run('openssl', [
      ...['req', '-x509', '-config', config, '-subj', `/CN=${file}`, '-days', '2'],
      ...[
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-noenc',
        '-keyout',
        key,
        '-out',
        cert,
      ],
      ...extensions.flatMap((extension) => ['-addext', extension]),
      ...signer,
    ])
    return { cert, key }
  }

  const own = await make(name, ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'], [])
  return {
    cert: own.cert,
    async issue(file, names, days) {
      const { cert, key } = await make(
        file,
        ['basicConstraints=critical,CA:FALSE', `subjectAltName=${names.join(',')}`],
        ['-CA', own.cert, '-CAkey', own.key],
      )
      if (days !== undefined) {
        // Signed anew, as `openssl req` takes no end that lies in the past.
        const request = join(folder, `${file}.csr`)
        const kept = ['-copy_extensions', 'copy']
        await run('openssl', ['x509', '-x509toreq', '-in', cert, '-signkey', key, ...kept, '-out', request])
        const signer = ['-CA', own.cert, '-CAkey', own.key, '-days', String(days)]
        await run('openssl', ['x509', '-req', '-in', request, ...signer, ...kept, '-out', cert])
      }
      const keystore = join(folder, `${file}.keystore.pem`)
      writeFileSync(keystore, readFileSync(key, 'utf8') + readFileSync(cert, 'utf8'))
      return { cert, key, keystore }
    },
  }
}

import { parser } from '@prometheus-io/lezer-promql'

type SyntaxNode = ReturnType<typeof parser.parse>['topNode']

/** A series selector of an expression: `name{label="value"}`. */
interface Selector {
  readonly name: string
  /** Of its matchers, without the name's. */
  readonly labels: Readonly<Record<string, string>>
}

/** What an expression is about. */
interface Expression {
  readonly selectors: readonly Selector[]
  /** Labels in `by`, `without`, `on`, `ignoring`, `group_left` and `group_right`. */
  readonly grouped: readonly string[]
}

/** Reads PromQL by Prometheus's own grammar. Throws where it is none, and where a selector has no name. */
export function readExpression(text: string): Expression {
  const selectors: Selector[] = []
  const grouped: string[] = []
  const of = ({ from, to }: { readonly from: number; readonly to: number }): string => text.slice(from, to)
  parser.parse(text).iterate({
    enter({ type, node }) {
      if (type.isError) throw new Error(`no PromQL at ${node.from}: ${text}`)
      if (type.name === 'VectorSelector') selectors.push(selectorOf(node, of))
      if (type.name === 'GroupingLabels') grouped.push(...node.getChildren('LabelName').map(of))
    },
  })
  return { selectors, grouped }
}

function selectorOf(node: SyntaxNode, of: (node: SyntaxNode) => string): Selector {
  const name = node.getChild('Identifier')
  if (!name) throw new Error(`a selector without a name: ${of(node)}`)
  const labels: Record<string, string> = {}
  for (const matcher of node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? []) {
    const [label, value] = [matcher.getChild('LabelName'), matcher.getChild('StringLiteral')]
    if (!label || !value) throw new Error(`a matcher that is none: ${of(matcher)}`)
    labels[of(label)] = of(value).slice(1, -1)
  }
  return { name: of(name), labels }
}

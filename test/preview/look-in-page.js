// Runs in a page: writes what is to be seen, and what is cut, into the element `seen`.
// Long names in legends and cells may end in dots, as they do in Grafana; numbers may not.

const panels = {}
const cut = []
const textOf = (element) => element.textContent.replaceAll(/\s+/g, ' ').trim()

function complain(element, what) {
  const panel = element.closest('section')?.querySelector('h3')
  cut.push(`${panel ? textOf(panel) : 'page'}: ${what}`)
}

for (const panel of document.querySelectorAll('section')) {
  const { left, top, width, height } = panel.getBoundingClientRect()
  const [title, content] = panel.children
  panels[panel.dataset.id] = { left, top, width, height, title: textOf(title), text: textOf(content) }
}
for (const element of document.querySelectorAll(
  'h1, h2, h3, p, .choices, .value, .name, th span, .right span',
)) {
  if (element.scrollWidth > element.clientWidth + 1) complain(element, textOf(element))
}
for (const content of document.querySelectorAll('section > div')) {
  const table = content.querySelector('table')
  if (table && table.scrollWidth > content.clientWidth) complain(content, 'the table is too wide')
  // Rows of a table may be scrolled.
  if (!table && content.scrollHeight > content.clientHeight + 1) complain(content, 'it is too high')
}
for (const text of document.querySelectorAll('svg text')) {
  const place = text.getBoundingClientRect()
  const svg = text.closest('svg').getBoundingClientRect()
  if (place.left < svg.left - 1 || place.right > svg.right + 1 || place.bottom > svg.bottom + 1)
    complain(text, textOf(text))
}
document.getElementById('seen').textContent = JSON.stringify({ panels, cut })

// Sorting, the lineage of cells, light and dark. The page reads well without any of it.
'use strict';
(() => {
  const root = document.documentElement;
  const make = (name, text, attributes = {}) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  // ---- light and dark -------------------------------------------------------------------------
  const theme = document.querySelector('.theme');
  theme.hidden = false;
  theme.addEventListener('click', () => {
    const now = root.dataset.theme
      || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
    root.dataset.theme = now === 'dark' ? 'light' : 'dark';
  });

  // ---- published values -----------------------------------------------------------------------
  const published = document.getElementById('published');
  if (published) {
    published.closest('.switch').hidden = false;
    published.addEventListener('change', () => {
      root.classList.toggle('no-published', !published.checked);
    });
  }

  // ---- sorting, within each group of a table --------------------------------------------------
  const value = (row, column, kind) => {
    const cell = row.children[column];
    if (!cell) return null;
    if (kind === 'text') return cell.textContent;
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const compare = (a, b, sign) => {
    // Holes stay last either way.
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === 'string' ? a.localeCompare(b) : a - b);
  };
  for (const table of document.querySelectorAll('table.results')) {
    const original = new Map();
    for (const body of table.tBodies) original.set(body, [...body.rows]);
    table.addEventListener('click', (event) => {
      const button = event.target.closest('button.sort');
      if (!button) return;
      const head = button.closest('th');
      const { column, kind } = button.dataset;
      const first = kind === 'up' ? 'descending' : 'ascending';
      const second = first === 'ascending' ? 'descending' : 'ascending';
      const was = head.getAttribute('aria-sort');
      const now = was === first ? second : was === second ? null : first;
      for (const other of table.querySelectorAll('th[aria-sort]')) other.removeAttribute('aria-sort');
      if (now) head.setAttribute('aria-sort', now);
      for (const [body, rows] of original) {
        const group = rows.filter((row) => row.classList.contains('group'));
        const rest = rows.filter((row) => !row.classList.contains('group'));
        if (now) {
          const sign = now === 'ascending' ? 1 : -1;
          rest.sort((a, b) => compare(value(a, column, kind), value(b, column, kind), sign));
        }
        body.append(...group, ...rest);
      }
    });
  }

  // ---- lineage of a cell ----------------------------------------------------------------------
  const dialog = document.getElementById('lineage');
  const island = document.getElementById('cases');
  const cases = island ? JSON.parse(island.textContent) : {};
  const quote = (text) => (/^[\w./%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  // Rows of all stages behind `key`, inputs first.
  const before = (key, seen = new Set(), found = []) => {
    if (seen.has(key)) return found;
    seen.add(key);
    const row = document.getElementById(`s-${key}`);
    if (!row) return found;
    for (const input of row.dataset.inputs.split(' ')) if (input) before(input, seen, found);
    found.push(row);
    return found;
  };

  const facts = (pairs) => {
    const list = make('dl', undefined, { class: 'facts' });
    for (const [name, text] of pairs) if (text) list.append(make('dt', name), make('dd', text));
    return list;
  };

  const stages = (key) => {
    const list = make('ol', undefined, { class: 'chain' });
    for (const row of before(key)) {
      const item = make('li');
      const link = make('a', row.id.slice(2), { href: `#${row.id}`, class: 'key' });
      link.title = row.dataset.key;
      const text = (name) => row.querySelector(`.${name}`).textContent;
      item.append(link, ' ', make('strong', text('stage')), ' ', make('span', text('state'), { class: 'state' }));
      if (row.cells[3].textContent) item.append(', ', row.cells[3].textContent);
      if (text('made')) item.append(make('span', text('made'), { class: 'made' }));
      list.append(item);
    }
    return list;
  };

  const scores = (key, metric) => {
    const all = (cases[key] || {})[metric];
    if (!all || !all.length) return null;
    const box = make('details');
    box.append(make('summary', `${all.length} test cases`));
    const list = make('ul', undefined, { class: 'cases' });
    for (const [name, score] of all) {
      const item = make('li');
      item.append(make('span', name), make('b', score === null ? 'undefined' : score.toFixed(4)));
      list.append(item);
    }
    box.append(list);
    return box;
  };

  const show = (cell) => {
    const row = cell.closest('tr');
    const table = cell.closest('table');
    const d = cell.dataset;
    const number = table.dataset.table;
    dialog.replaceChildren();
    const close = make('button', '×', { type: 'button', class: 'close', 'aria-label': 'Close' });
    close.addEventListener('click', () => dialog.close());
    const where = [row.dataset.method, d.column.replace('/', ' ')];
    if (d.label) where.push(`${d.label} % labels`);
    where.push(d.metric.replace('_', ' '));
    dialog.append(close, make('h2', where.join(', '), { id: 'lineage-title' }));
    const mean = cell.querySelector('.v').firstChild.textContent;
    const diff = cell.querySelector('.diff');
    dialog.append(facts([
      ['Value', d.sd ? `${mean} ± ${d.sd}` : mean],
      ['No value', d.hole],
      ['Published', d.published && (diff ? `${d.published}, difference ${diff.firstChild.textContent}` : d.published)],
      ['Written at', row.dataset.place],
      ['Profile', table.dataset.arguments.replace(' --profile ', '')],
    ]));
    const seeds = new Map(d.seeds.split(' ').filter(Boolean).map((pair) => pair.split(':')));
    for (const run of d.runs.split(' ').filter(Boolean)) {
      const [seed, key] = run.split(':');
      dialog.append(make('h3', `Seed ${seed}: ${seeds.get(seed) ?? 'no value'}`));
      const list = scores(key, d.metric);
      if (list) dialog.append(list);
      dialog.append(stages(key));
    }
    const column = [d.column.replace(/^phantom-/, ''), d.label || '', d.metric].join('/');
    dialog.append(make('p', 'More of it:'), make('pre',
      `amlp-run why ${quote(table.dataset.manifest)} ${quote(number)} ${quote(row.dataset.method)}`
      + ` --col ${quote(column)}${table.dataset.arguments}`));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  };

  document.addEventListener('click', (event) => {
    const link = event.target.closest('td.cell a.v');
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      show(link.closest('td'));
    }
  });
  dialog.addEventListener('click', (event) => {
    const link = event.target.closest('a');
    if (event.target === dialog || link) dialog.close();
  });

  // A link into something folded unfolds it.
  const unfold = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let node = target; node; node = node.parentElement) if (node.tagName === 'DETAILS') node.open = true;
    if (target) target.scrollIntoView({ block: 'start' });
  };
  addEventListener('hashchange', unfold);
  unfold();

  // On paper everything is unfolded, but for the list of all stages.
  const folded = [];
  addEventListener('beforeprint', () => {
    for (const node of document.querySelectorAll('details:not([open]):not(.stages)')) {
      node.open = true;
      folded.push(node);
    }
  });
  addEventListener('afterprint', () => {
    for (const node of folded.splice(0)) node.open = false;
  });
})();

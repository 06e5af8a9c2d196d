'use strict';
// Keeps the page true and makes its buttons work. All that is shown is drawn by the server: here it is fetched again,
// and put in place of what has changed.
(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const main = one('#main'), line = one('#line'), said = one('#said');
  const POLL = 10_000, REDRAW = 60_000, SOON = 300, SILENT = 120_000;

  // Storage may be forbidden; the page works without.
  const kept = (storage) => ({
    get: (key) => { try { return window[storage].getItem(key) || ''; } catch { return ''; } },
    set: (key, value) => { try { value ? window[storage].setItem(key, value) : window[storage].removeItem(key); } catch {} },
  });
  const local = kept('localStorage'), tab = kept('sessionStorage');
  let token = tab.get('healer-token');

  // ---- asking the server
  function call(path, options = {}) {
    const headers = { ...options.headers };
    if (token) headers.Authorization = 'Bearer ' + token;
    return fetch(path, { cache: 'no-store', redirect: 'error', ...options, headers });
  }

  let asked = false;
  function refused() {
    if (asked) return;
    asked = true;
    askToken(token ? 'This token was refused.' : '');
  }

  // ---- what is shown, again
  let busy = false, again = false, timer = 0;
  const soon = () => { clearTimeout(timer); timer = setTimeout(refresh, SOON); };

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await call('/dashboard', { signal: AbortSignal.timeout(POLL) }).catch((error) => {
        const what = error.name === 'TimeoutError' ? 'does not answer' : 'cannot be reached';
        throw new Error('The server is offline: it ' + what + '.');
      });
      if (answer.status === 401) {
        refused();
        throw new Error(token ? 'The server refuses this token.' : 'The server wants the token.');
      }
      if (!answer.ok) throw new Error('The server answered ' + answer.status + '.');
      merge(new DOMParser().parseFromString(await answer.text(), 'text/html').body);
      online('');
    } catch (error) {
      online(error.message);
    }
    busy = false;
    if (again) { again = false; soon(); }
  }

  let down = '';
  function online(why) {
    if (why === down) return;
    const back = down && !why;
    down = why;
    line.className = why ? 'off' : '';
    line.textContent = why ? why + (one('#locked') ? '' : ' What you see may be old; trying again every 10 seconds.') : back ? 'Connected again.' : '';
    if (back) setTimeout(() => { if (!down) line.textContent = ''; }, 5000);
    if (why && stream) stream.abort();
  }

  // What ticks by itself is no difference.
  function sense(section) {
    const copy = section.cloneNode(true);
    all('[data-since], [data-until]', copy).forEach((e) => { e.textContent = ''; });
    all('.gone, .empty', copy).forEach((e) => e.classList.remove('gone', 'empty'));
    all('details', copy).forEach((e) => e.removeAttribute('open'));
    all('[class=""]', copy).forEach((e) => e.removeAttribute('class'));
    copy.classList.remove('empty');
    return copy.outerHTML;
  }

  function merge(body) {
    const fresh = all('#clock, section[id]', body);
    const ids = new Set(fresh.map((e) => e.id));
    const heading = one('h1', main)?.textContent.replace(/[\d:]+ left/, '');
    all('section[id]', main).filter((e) => !ids.has(e.id)).forEach((e) => e.remove());
    let after = null;
    for (const section of fresh) {
      let old = document.getElementById(section.id);
      if (!old) {
        after ? after.after(section) : main.prepend(section);
        old = section;
      } else if (sense(old) !== sense(section)) {
        replace(old, section);
        old = section;
      }
      after = old;
    }
    setClock();
    tick();
    filter();
    const verdict = one('h1', main)?.textContent || 'healer';
    document.title = verdict + ' · healer';
    if (verdict.replace(/[\d:]+ left/, '') !== heading) one('#heard').textContent = verdict;
  }

  // In place of the old one, with what was open, had the focus, or was scrolled.
  function replace(old, section) {
    const open = new Map(all('details[data-key]', old).map((e) => [e.dataset.key, e.open]));
    const places = new Map(all('pre, .box', old).map((e, n) => [where(e, n), [e.scrollLeft, e.scrollTop]]));
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const key = focus && keyOf(focus), summary = focus?.localName === 'summary';
    old.replaceWith(document.adoptNode(section));
    all('details[data-key]', section).forEach((e) => { e.open = open.get(e.dataset.key) ?? e.open; });
    all('pre, .box', section).forEach((e, n) => { [e.scrollLeft, e.scrollTop] = places.get(where(e, n)) || [0, 0]; });
    if (key) focusOn(key, summary, section);
  }
  const keyOf = (e) => e.dataset.key || e.closest('[data-key]')?.dataset.key;
  const where = (e, n) => (keyOf(e) || n) + e.localName + [...(e.parentNode?.children || [])].indexOf(e);
  function focusOn(key, summary, within = document) {
    const found = one('[data-key="' + CSS.escape(key) + '"]', within);
    const target = found && summary ? one('summary', found) : found;
    (target || main).focus({ preventScroll: true });
  }

  // ---- events
  let stream = null, streaming = false, last = '', heard = 0;
  let wait = 1000, wake = () => {};
  const rest = (ms) => new Promise((done) => { wake = done; setTimeout(done, ms); });

  async function listen() {
    for (;; wait = Math.min(wait * 2, POLL)) {
      if (token || one('#clock')?.dataset.read === 'yes') {
        try {
          stream = new AbortController();
          const headers = { Accept: 'text/event-stream' };
          if (last) headers['Last-Event-ID'] = last;
          const answer = await call('/api/monitoring/events', { headers, signal: stream.signal });
          if (answer.status === 401) refused();
          if (answer.ok && answer.body) {
            streaming = true;
            wait = 500;
            soon();
            await read(answer.body.getReader());
          }
        } catch {}
        streaming = false;
        soon();
      }
      await rest(wait);
    }
  }

  async function read(reader) {
    const decoder = new TextDecoder();
    let rest = '', id = '', data = false;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard = Date.now();
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r/);
      rest = lines.pop();
      for (const text of lines) {
        if (text.startsWith('id:')) id = text.slice(3).trim();
        else if (text.startsWith('data:')) data = true;
        else if (text === '') {
          if (id) last = id;
          if (data) soon();
          data = false;
        }
      }
    }
  }

  // ---- time
  let skew = 0;
  const setClock = () => { skew = Number(one('#clock')?.dataset.now || 0) - Date.now() / 1000 || 0; };
  function age(s) {
    if (s < 60) return s + ' s';
    if (s < 3600) return Math.floor(s / 60) + ' min';
    if (s < 172800) return Math.floor(s / 3600) + ' h';
    return Math.floor(s / 86400) + ' d';
  }
  function left(s) {
    if (s < 3600) return Math.floor(s / 60) + ':' + String(s % 60).padStart(2, '0');
    if (s < 172800) return Math.floor(s / 3600) + ' h ' + (Math.floor(s / 60) % 60) + ' min';
    return Math.floor(s / 86400) + ' d';
  }
  function tick() {
    if (document.hidden) return;
    const now = Math.floor(Date.now() / 1000 + skew);
    const put = (e, text) => { if (e.textContent !== text) e.textContent = text; };
    all('[data-since]').forEach((e) => put(e, age(Math.max(0, now - e.dataset.since)) + ' ago'));
    all('[data-until]').forEach((e) => put(e, left(Math.max(0, e.dataset.until - now))));
  }

  // ---- filter and search
  const search = one('#search'), failing = one('#failing');
  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    main.classList.toggle('failing', failing.checked);
    for (const section of all('#checks, #happened')) {
      let shown = 0;
      const rows = all('.find', section);
      for (const row of rows) {
        const text = words.length ? row.textContent.toLowerCase() : '';
        const fits = words.every((word) => text.includes(word));
        row.classList.toggle('gone', !fits);
        if (fits && !(failing.checked && row.classList.contains('fine'))) shown += 1;
      }
      section.classList.toggle('empty', rows.length > 0 && shown === 0);
    }
  }
  function choose() {
    local.set('healer-search', search.value);
    local.set('healer-failing', failing.checked ? 'yes' : '');
    filter();
  }

  // ---- dialogs: resolve to true when confirmed; the focus goes back to where it was
  function confirm(dialog) {
    const from = document.activeElement, key = from?.dataset?.key;
    return new Promise((resolve) => {
      let yes = false;
      const form = one('form', dialog);
      form.onsubmit = (event) => { event.preventDefault(); yes = true; dialog.close(); };
      dialog.onclose = () => {
        if (from?.isConnected) from.focus();
        else if (key) focusOn(key, false);
        resolve(yes);
      };
      if (!dialog.open) dialog.showModal();
    });
  }

  async function askToken(why = '') {
    const dialog = one('#token'), secret = one('#secret');
    if (dialog.open || one('#ask').open) return false;
    one('#token-p').textContent = (why ? why + ' ' : '') + 'Log text, diffs and buttons need it. It is kept for this tab only.';
    secret.value = '';
    one('[data-act=forget]', dialog).hidden = !token;
    if (!(await confirm(dialog)) || !secret.value.trim()) { secret.value = ''; return false; }
    setToken(secret.value.trim());
    secret.value = '';
    return true;
  }

  function setToken(value) {
    token = value;
    asked = false;
    tab.set('healer-token', value);
    one('.tools [data-act=token]').textContent = value ? 'Token set' : 'Token';
    if (stream) stream.abort();
    wait = 500;
    wake();
    refresh();
  }

  function say(text, mark) {
    said.hidden = false;
    said.className = mark;
    one('p', said).textContent = text;
  }

  // ---- buttons
  const PATHS = {
    check: () => '/api/monitoring/trigger-check',
    apply: (id) => '/api/monitoring/plans/' + encodeURIComponent(id) + '/apply',
    rollback: (id) => '/api/monitoring/rollback/' + encodeURIComponent(id),
    pause: () => '/api/monitoring/pause',
    resume: () => '/api/monitoring/resume',
    ack: (id) => '/api/monitoring/incidents/' + encodeURIComponent(id) + '/ack',
  };

  async function act(button) {
    const { act: what, id, ask, key } = button.dataset, label = button.textContent;
    if (!token && !(await askToken('This button needs the token.'))) return;
    const dialog = one('#ask'), reason = one('#reason');
    one('#ask-h').textContent = label + '?';
    one('#ask-p').textContent = ask;
    one('#yes').textContent = label;
    one('#ask-l').hidden = what !== 'pause';
    reason.value = 'paused from the dashboard';
    if (!(await confirm(dialog))) return;
    const body = what === 'pause' ? { duration: '1h', reason: reason.value.trim() || 'paused from the dashboard' } : {};
    const live = () => key && one('[data-key="' + CSS.escape(key) + '"]');
    const disable = (on) => { const b = live(); if (b) b.setAttribute('aria-disabled', on); };
    disable(true);
    say(label + ' ...', 'busy');
    try {
      const answer = await call(PATHS[what](id), {
        method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
      });
      const told = await answer.json().catch(() => ({}));
      if (answer.ok) say(done(label, answer.status, told), 'good');
      else say(label + ' was refused: ' + (told.message || 'it answered ' + answer.status), 'bad');
      if (answer.status === 401) { asked = false; refused(); }
    } catch (error) {
      say(label + ' failed: the server cannot be reached. Whether it was done is not known.', 'bad');
    }
    disable(false);
    soon();
  }

  function done(label, status, told) {
    const data = told.data || {};
    if (status === 202) return label + ': started' + (data.run_id ? ' (' + data.run_id + ')' : '') + '. What it does is shown here.';
    if (told.message) return told.message;
    if (data.issues !== undefined) return 'Checked: ' + data.status + ', ' + data.issues + (data.issues === 1 ? ' issue.' : ' issues.');
    return label + ': done.';
  }

  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-act]');
    if (!button) return;
    const what = button.dataset.act;
    if (what === 'cancel') button.closest('dialog').close();
    else if (what === 'close') said.hidden = true;
    else if (what === 'forget') { button.closest('dialog').close(); setToken(''); say('The token is forgotten.', 'info'); }
    else if (what === 'token') askToken();
    else if (PATHS[what] && button.getAttribute('aria-disabled') !== 'true') act(button);
  });

  // ---- start
  search.value = local.get('healer-search');
  failing.checked = local.get('healer-failing') === 'yes';
  search.addEventListener('input', choose);
  failing.addEventListener('change', choose);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) { tick(); soon(); } });
  if (token) one('.tools [data-act=token]').textContent = 'Token set';
  setClock();
  filter();
  setInterval(tick, 1000);
  setInterval(() => { if (!streaming || down) refresh(); }, POLL);
  setInterval(() => {
    refresh();
    if (streaming && Date.now() - heard > SILENT) stream.abort();
  }, REDRAW);
  if (token || one('#locked')) refresh();
  listen();
})();

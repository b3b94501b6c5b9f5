// Local times, live updates, the preview of a form, and a few keys. Pages can be read without it.
"use strict";

(() => {
  const LIVE_MS = 5000, SECOND_MS = 1000;
  const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const STORED = "scheduling.live", PICKED = "input[type=checkbox]:is([name=job], [name=run], [name=letter])";
  const format = (options) => new Intl.DateTimeFormat(undefined, options);
  const FORMS = {
    hour: format({ weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }),
    minute: format({ hour: "2-digit", minute: "2-digit" }),
    today: format({ hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    year: format({ weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" }),
    any: format({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" }),
  };
  const all = (root, selector) => root.querySelectorAll(selector);

  // Says the same as `relative` of the server.
  function relative(instant) {
    const seconds = Math.round((instant - Date.now()) / SECOND_MS), size = Math.abs(seconds);
    const unit = UNITS.find(([, length]) => size >= length);
    if (!unit) return "now";
    const amount = Math.floor(size / unit[1]) + unit[0];
    return seconds > 0 ? `in ${amount}` : `${amount} ago`;
  }

  function local(instant, form) {
    if (FORMS[form]) return FORMS[form].format(instant);
    const now = new Date();
    if (instant.toDateString() === now.toDateString()) return FORMS.today.format(instant);
    return (instant.getFullYear() === now.getFullYear() ? FORMS.year : FORMS.any).format(instant);
  }

  function tick() {
    for (const each of all(document, "[data-rel]")) {
      const text = relative(new Date(each.dataset.rel));
      if (each.textContent !== text) each.textContent = text;
    }
  }

  function localise(root) {
    for (const each of all(root, "time[datetime]")) {
      each.textContent = local(new Date(each.dateTime), each.dataset.form);
    }
  }

  // --- Live updates: while the page is visible, switched on, and not in use.

  let busy = false;
  const isOn = () => localStorage.getItem(STORED) !== "off";

  function inUse(region) {
    return Boolean(
      region.contains(document.activeElement) && document.activeElement.matches("input, textarea, select, button")
      || region.querySelector("input:checked, details[open]")
      || document.querySelector(".menu[open]")
      || String(getSelection()),
    );
  }

  async function refresh() {
    const region = document.getElementById("live");
    if (!region || busy || document.hidden || !isOn() || inUse(region)) return;
    busy = true;
    const focused = document.activeElement?.getAttribute?.("href");
    try {
      await htmx.ajax("GET", location.href, { target: "#live", select: "#live", swap: "outerHTML" });
      if (focused && document.activeElement === document.body) {
        document.querySelector(`#live a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
      }
    } catch { /* the next refresh tries again */ } finally {
      busy = false;
    }
  }

  // Someone may have begun to use the page while its renewal was under way.
  function keepInUse(event) {
    if (event.detail.target.id === "live" && inUse(event.detail.target)) event.detail.shouldSwap = false;
  }

  function liveSwitch(button) {
    const show = () => {
      button.setAttribute("aria-pressed", String(isOn()));
      button.textContent = isOn() ? "Live" : "Not live";
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      localStorage.setItem(STORED, isOn() ? "off" : "on");
      show();
      refresh();
      document.dispatchEvent(new Event("live-switched"));
    });
    show();
  }

  // --- Events: a stream while the page is looked at. After a pause it goes on where it was.

  const MOST_ROWS = 300, REOPEN_MS = 3000, MOST_REOPENS = 20;

  function streaming(table) {
    const rows = table.tBodies[0], said = document.querySelector("[data-stream-state]");
    let source = null, last = table.dataset.last, away = !document.hasFocus(), refused = false;
    let reopens = 0, timer, reason = "";
    const say = (text) => { if (said.textContent !== text) said.textContent = text; };

    function show(event) {
      last = event.lastEventId;
      const made = document.createElement("template");
      made.innerHTML = event.data;
      localise(made.content);
      rows.prepend(made.content);
      while (rows.rows.length > MOST_ROWS) rows.lastElementChild.remove();
      document.querySelector("[data-none]").hidden = true;
    }

    function open() {
      source = new EventSource(`${table.dataset.stream}${table.dataset.stream.includes("?") ? "&" : "?"}after=${encodeURIComponent(last)}`);
      source.addEventListener("open", () => {
        reopens = 0;
        reason = "";
        say("New events appear at the top.");
      });
      source.addEventListener("rows", show);
      source.addEventListener("unavailable", (event) => { reason = event.data; });  // the stream ends
      source.addEventListener("error", () => { if (source) lost(); });
      source.addEventListener("refused", (event) => refuse(event.data));
      say("Connecting …");
    }

    // A browser connects again by itself after a lost connection, but not after an error page.
    function lost() {
      const text = reason || "The connection is lost.";
      if (source.readyState !== EventSource.CLOSED) return say(`${text} Trying again …`);
      if (reopens++ >= MOST_REOPENS) return refuse(`${text} Load the page again.`);
      close(`${text} Trying again …`);
      timer = setTimeout(steer, REOPEN_MS);
    }

    function refuse(text) {
      refused = true;
      close(text);
    }

    function close(text) {
      clearTimeout(timer);
      source?.close();
      source = null;
      say(text);
    }

    function steer() {
      const wanted = isOn() && !away && !document.hidden && !refused;
      if (wanted && !source) open();
      else if (!wanted && source) close(isOn() ? "Paused while you are away" : "Stopped");
    }

    window.addEventListener("blur", () => { away = true; steer(); });
    window.addEventListener("focus", () => { away = false; steer(); });
    document.addEventListener("visibilitychange", steer);
    document.addEventListener("live-switched", steer);
    if (!isOn()) say("Stopped");
    steer();
  }

  // --- Lists

  function picking(root) {
    const boxes = () => all(document, PICKED);
    const whole = root.querySelector("[data-pick-all]");
    const shown = document.querySelector("[data-picked]");
    const count = () => {
      const picked = [...boxes()].filter((box) => box.checked).length;
      if (shown) shown.textContent = picked ? `(${picked})` : "";
      if (whole) {
        whole.checked = picked > 0 && picked === boxes().length;
        whole.indeterminate = picked > 0 && picked < boxes().length;
      }
    };
    if (whole) {
      whole.hidden = false;
      whole.addEventListener("change", () => {
        for (const box of boxes()) box.checked = whole.checked;
        count();
      });
    }
    for (const box of boxes()) box.addEventListener("change", count);
    count();
  }

  // --- Forms

  function previewing(form) {
    let timer;
    const show = () => htmx.ajax("POST", "/job/preview", {
      source: form, target: "#preview", swap: "innerHTML", values: {},
    }).catch(() => {});
    form.addEventListener("input", (event) => {
      if (!/^(kind|schedule|timezone|start_time|end_time|max_runs)$/.test(event.target.name)) return;
      clearTimeout(timer);
      timer = setTimeout(show, 250);
    });
    if (form.elements.schedule.value && !form.elements.form_token.disabled) show();
  }

  // A click too many must not send a form twice: not each action can be repeated.
  function once(event) {
    if (event.target.method !== "post" || event.defaultPrevented) return;
    const buttons = [...event.target.elements].filter((each) => each.type === "submit" && !each.disabled);
    setTimeout(() => {  // the browser has read the form by then
      for (const each of buttons) each.disabled = each.dataset.sent = true;
    });
  }

  function sendable() {
    for (const each of all(document, "[data-sent]")) {
      each.disabled = false;
      delete each.dataset.sent;
    }
  }

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      for (const each of all(document, ".menu[open]")) {
        each.open = false;
        each.querySelector("summary").focus();
      }
    } else if (event.key === "/" && !event.target.matches("input, textarea, select")) {
      const field = document.querySelector("[data-first]");
      if (field) {
        event.preventDefault();
        field.focus();
      }
    }
  }

  function prepare(root) {
    localise(root);
    tick();
    if (root.querySelector(PICKED)) picking(root);
  }

  document.addEventListener("keydown", keys);
  document.addEventListener("submit", once);
  window.addEventListener("pageshow", sendable);  // who goes back may send it again
  document.addEventListener("htmx:beforeSwap", keepInUse);
  document.addEventListener("htmx:afterSwap", (event) => prepare(event.detail.elt.parentNode || document));
  document.addEventListener("click", (event) => {
    for (const each of all(document, ".menu[open]")) if (!each.contains(event.target)) each.open = false;
  });
  prepare(document);
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  for (const each of all(document, "[data-zone]")) {
    each.textContent = `Times are in your zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
  }
  for (const each of all(document, "[data-live-switch]")) liveSwitch(each);
  for (const each of all(document, "[data-stream]")) streaming(each);
  for (const each of all(document, "form[data-preview]")) previewing(each);
  for (const each of all(document, "form[data-go-on]")) each.requestSubmit();
  setInterval(tick, SECOND_MS);
  setInterval(refresh, LIVE_MS);
})();

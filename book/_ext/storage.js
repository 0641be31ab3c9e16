// Where a browser forbids a page to store anything, reading `localStorage` throws, and scripts of the theme stop there. They
// get a storage that goes with the page; it says so of itself, as `lent`.
for (const name of ["localStorage", "sessionStorage"])
  try { window[name].length; } catch {
    const kept = new Map(), own = (value) => ({ value, enumerable: false });
    Object.defineProperty(window, name, { configurable: true, value: Object.create({}, {
      length: { get: () => kept.size }, lent: own(true), key: own((index) => [...kept.keys()][index] ?? null),
      getItem: own((key) => kept.get(String(key)) ?? null), setItem: own((key, value) => { kept.set(String(key), String(value)); }),
      removeItem: own((key) => { kept.delete(String(key)); }), clear: own(() => kept.clear()),
    }) });
  }

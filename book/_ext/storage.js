// Where a browser forbids a page to store anything, reading `localStorage` throws; where what it may store is full, writing
// does. Scripts of the theme stop there. They get a storage that goes with the page; it says so of itself, as `lent`.
for (const name of ["localStorage", "sessionStorage"]) {
  let store = null, there = [];
  try {
    store = window[name];
    there = Object.entries(store);
    store.setItem("casestudies?", "");
    store.removeItem("casestudies?");
  } catch {
    const kept = new Map(there), own = (value) => ({ value, enumerable: false });
    Object.defineProperty(window, name, { configurable: true, value: Object.create({}, {
      length: { get: () => kept.size }, lent: own(true), key: own((index) => [...kept.keys()][index] ?? null),
      getItem: own((key) => kept.get(String(key)) ?? null), setItem: own((key, value) => { kept.set(String(key), String(value)); }),
      removeItem: own((key) => { kept.delete(String(key)); store?.removeItem(key); }), clear: own(() => { kept.clear(); store?.clear(); }),
    }) });
  }
}

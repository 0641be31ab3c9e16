// Work that would hold up the page for more than a frame goes to a worker. `make()` returns a function of one message;
// the worker answers each message with its result, or with what its promise brings. It is made of the text of `make` and
// of `parts`, the functions and the declarations that `make` uses. Of messages that wait, only the last is worked on.
// Where a page allows no worker, the work is done here, after the page has been painted.
function inWorker(make, parts, answer) {
  let send, stop = () => {}, waiting = null, busy = false;
  const finish = (result) => {
    busy = false;
    const [next] = waiting ?? [];
    if (waiting) { waiting = null; ask(next); }
    else answer(result);
  };
  const here = () => {
    const work = make();
    let stopped = false;
    stop = () => { stopped = true; };
    const done = (result) => { if (!stopped) finish(result); };
    return (message) => setTimeout(() => { if (!stopped) Promise.resolve(work(message)).then(done, reportError); }, 20);
  };
  try {
    const source = `${parts.join("\n")}\nconst work = (${make})(); onmessage = ({ data }) => Promise.resolve(work(data)).then(postMessage, reportError);`;
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const worker = new Worker(address);
    let last = null;
    worker.onmessage = ({ data }) => finish(data);
    worker.onerror = (event) => { // not allowed, or broken: here a mistake is at least seen
      event.preventDefault();
      worker.terminate();
      send = here();
      if (busy) send(last);
    };
    send = (message) => worker.postMessage((last = message));
    stop = () => { worker.terminate(); URL.revokeObjectURL(address); };
  } catch {
    send = here();
  }
  function ask(message) {
    if (busy) waiting = [message];
    else { busy = true; send(message); }
  }
  return { ask, stop: () => stop() };
}

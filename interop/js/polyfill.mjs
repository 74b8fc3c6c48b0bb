// What js-libp2p expects of node 22 and node 20 does not have yet. Imported before everything else.

import { WebSocket } from 'ws'

Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((good, bad) => { [resolve, reject] = [good, bad] })
  return { promise, resolve, reject }
}
globalThis.WebSocket ??= WebSocket

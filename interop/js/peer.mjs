// A js-libp2p node that talks with the program `o`, in both roles and over every transport that both have.
//
//   node peer.mjs PATH/TO/o

import './polyfill.mjs'

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { capabilityKey, description, nameKey, signRecord } from './record.mjs'
import { CODES, PROTOCOL, SHAPES, Session } from './wire.mjs'

const O = resolve(process.argv[2] ?? '../../target/debug/o')
const ECHO = 'o://try/echo'
const HERE = 'o://js/agent'
const AGENT = 'o-interop-js/1'
// Milliseconds for each step, and for all of it.
const STEP = 20_000
const WHOLE = 150_000

// Nothing of the person who runs this is read or written.
const scratch = mkdtempSync(join(tmpdir(), 'o-interop-'))
const env = { PATH: process.env.PATH, XDG_CONFIG_HOME: scratch, XDG_DATA_HOME: scratch, XDG_RUNTIME_DIR: scratch }
const children = new Set()

function o (...args) {
  const child = spawn(O, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  child.ended = new Promise((resolve) => child.once('close', (code) => {
    children.delete(child)
    resolve(code)
  }))
  return child
}

async function ran (...args) {
  const child = o(...args)
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), child.ended])
  return { code, err, values: out.trim() === '' ? [] : out.trim().split('\n').map((line) => JSON.parse(line)) }
}

setTimeout(() => {
  console.error(`failed: not done after ${WHOLE} ms`)
  leave(1)
}, WHOLE)

async function step (what, run) {
  const begun = performance.now()
  const timer = setTimeout(() => fail(new Error(`took longer than ${STEP} ms`)), STEP)
  const fail = (error) => {
    console.error(`failed: ${what}`)
    console.error(error)
    leave(1)
  }
  try {
    await run()
    console.log(`ok: ${what} (${Math.round(performance.now() - begun)} ms)`)
  } catch (error) {
    fail(error)
  }
  clearTimeout(timer)
}

function leave (code) {
  for (const child of children) child.kill('SIGKILL')
  rmSync(scratch, { recursive: true, force: true })
  process.exit(code)
}

function jsNode (listen = [], privateKey) {
  return createLibp2p({
    privateKey,
    addresses: { listen },
    transports: [tcp(), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 100 },
    services: {
      identify: identify({ agentVersion: AGENT }),
      ping: ping(),
      dht: kadDHT({ protocol: '/o-kad/1/main', clientMode: listen.length === 0, peerInfoMapper: passthroughMapper })
    }
  })
}

const isCode = (code) => (error) => error.code === code || assert.fail(`${error.code} ${error.message}, not ${code}`)

async function take (call) {
  const values = []
  for (let next; !(next = await call.take()).done;) values.push(next.value)
  return values
}

async function calls (session) {
  const call = (method, params, options) => session.call(ECHO, method, params, options)
  await step('  unary: every kind of value comes back as it went', async () => {
    const value = {
      text: 'grüße', none: null, yes: true, half: 0.5, many: [1, -2, 4_294_967_296], in: { a: [] }, big: 18446744073709551615n
    }
    assert.deepEqual(await call('echo', value), value)
    assert.deepEqual(Buffer.from(await call('echo', Buffer.from('bytes'))), Buffer.from('bytes'))
    assert.equal(await call('echo', undefined), undefined, 'parameters that do not exist')
  })
  await step('  unary in JSON', async () => {
    assert.deepEqual(await call('echo', { a: [1, 'b'] }, { encoding: 2 }), { a: [1, 'b'] })
  })
  await step('  a body larger than a frame and than the credit, there and back in parts', async () => {
    const long = 'x'.repeat(1_000_000)
    assert.equal(await call('echo', long), long)
  })
  await step('  a stream, longer than its credit', async () => {
    const params = { to: 3000 }
    const numbers = await take(await session.open(ECHO, 'count', params, { shape: SHAPES.server }))
    assert.deepEqual(numbers, Array.from({ length: 3000 }, (_, at) => at + 1))
  })
  await step('  errors have their types', async () => {
    await assert.rejects(call('nothing', null), isCode(CODES.unknown_method))
    await assert.rejects(session.call('o://try/nobody', 'echo', 1), isCode(CODES.not_found))
    await assert.rejects(call('count', { to: 'many' }, { shape: SHAPES.server }), isCode(CODES.invalid_params))
    await assert.rejects(call('count', { to: 1 }), (error) => {
      assert.deepEqual([error.code, error.shape], [CODES.wrong_shape, SHAPES.server])
      return true
    })
    const slow = await session.open(ECHO, 'count', { to: 9, every_ms: 600 }, { shape: SHAPES.server, timeout: 300 })
    await assert.rejects(take(slow), isCode(CODES.timed_out))
  })
  await step('  CANCEL stops a stream, and the session goes on', async () => {
    const endless = await session.open(ECHO, 'count', { to: 1e9, every_ms: 1 }, { shape: SHAPES.server })
    assert.equal((await endless.take()).value, 1)
    session.cancel(endless)
    await session.ping(7n)
    assert.equal(await call('echo', 'still'), 'still')
  })
  await step('  many calls at once, answered each to its own', async () => {
    const asked = Array.from({ length: 50 }, (_, at) => at)
    assert.deepEqual(await Promise.all(asked.map((at) => call('echo', at))), asked)
  })
}

// rust-libp2p answers on the newest ping substream of a connection and drops an older one, and the table of js-libp2p
// pings a new contact by itself at about this time.
async function pinged (node, peer) {
  for (let left = 5; ; left--) {
    try {
      return await node.services.ping.ping(peer, { signal: AbortSignal.timeout(2000) })
    } catch (error) {
      if (left === 0) throw error
      await sleep(50)
    }
  }
}

async function asClient (node, address) {
  const identified = new Promise((resolve) => {
    node.addEventListener('peer:identify', ({ detail }) => resolve(detail), { once: true })
  })
  const connection = await node.dial(multiaddr(address))
  await step('  identify and ping', async () => {
    const info = await identified
    assert.match(info.agentVersion, /^o\//)
    for (const protocol of [PROTOCOL, '/o-kad/1/main']) assert.ok(info.protocols.includes(protocol), protocol)
    assert.ok(await pinged(node, connection.remotePeer) >= 0)
  })
  const session = new Session(await connection.newStream(PROTOCOL), { dialer: true, agent: AGENT })
  await step('  HELLO', async () => {
    const peer = await session.hello
    assert.equal(peer.network, 'main')
    assert.deepEqual(peer.hosted, [ECHO])
    assert.match(peer.agent, /^o\//)
  })
  await calls(session)
  await step('  the name is found in the table', async () => {
    const providers = []
    for await (const event of node.services.dht.findProviders(nameKey(ECHO))) {
      if (event.name === 'PEER_RESPONSE') providers.push(...event.providers.map(({ id }) => id.toString()))
    }
    assert.ok(providers.includes(connection.remotePeer.toString()), `${providers}`)
  })
  await step('  GOODBYE, and the end of the stream', async () => {
    session.goodbye('done')
    // The other side may be faster: it closes the connection, and what is left of it here is reset.
    await session.stream.close().catch(() => {})
    await session.closed
    await connection.close().catch(() => {})
  })
}

async function serving (run) {
  const listen = ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'].flatMap((at) => ['--listen', at])
  const server = o('serve', ECHO, '--json', ...listen)
  server.stderr.pipe(process.stderr)
  let ready
  await step('`o serve` is there', async () => {
    for await (const line of createInterface(server.stdout)) {
      ready = JSON.parse(line)
      break
    }
    assert.equal(ready.event, 'ready')
    server.stdout.resume()
  })
  await run(ready)
  server.kill('SIGTERM')
  assert.equal(await server.ended, 0)
}

async function clients ({ listen }) {
  for (const address of listen) {
    console.log(`a client in JavaScript, ${address.includes('/ws') ? 'WebSocket' : 'TCP'}`)
    const node = await jsNode()
    await asClient(node, address)
    await node.stop()
  }
}

const stopped = []

// What `o call` finds here.
const methods = {
  upper: { shape: SHAPES.unary, async * run (params) { yield params.toUpperCase() } },
  fail: { shape: SHAPES.unary, async * run () { throw new Error('out of paper') } },
  size: { shape: SHAPES.unary, async * run (params) { yield params.length } },
  count: {
    shape: SHAPES.server,
    async * run (params, call) {
      for (let at = 1; at <= params.to && !call.over; at++) {
        yield at
        if (params.slow) await sleep(20)
      }
      if (call.over) stopped.push(call.id)
    }
  }
}

async function listener (listen) {
  const node = await jsNode([listen])
  const opened = []
  await node.handle(PROTOCOL, (stream) => {
    opened.push(new Session(stream, { dialer: false, agent: AGENT, address: HERE, methods }))
  })
  const peer = node.getMultiaddrs()[0].toString()
  const call = (method, params, ...more) => ran('call', HERE, method, JSON.stringify(params), '--peer', peer, '--json', ...more)
  await step('  `o call` is answered', async () => {
    const { code, values, err } = await call('upper', 'hi')
    assert.deepEqual([code, values], [0, ['HI']], err)
    const heard = await opened.at(-1).hello
    assert.deepEqual([heard.network, heard.hosted], ['main', []])
  })
  await step('  with a long body', async () => {
    const { code, values, err } = await call('size', 'x'.repeat(100_000))
    assert.deepEqual([code, values], [0, [100_000]], err)
  })
  await step('  with a stream', async () => {
    const { code, values, err } = await call('count', { to: 2000 })
    assert.deepEqual([code, values.length, values.at(-1)], [0, 2000, 2000], err)
  })
  await step('  and cancels one', async () => {
    const { code, values, err } = await call('count', { to: 1e9, slow: true }, '--limit', '3')
    assert.deepEqual([code, values], [0, [1, 2, 3]], err)
    while (stopped.length === 0) await sleep(5)
    stopped.length = 0
  })
  await step('  errors arrive with their types', async () => {
    for (const [method, code] of [['fail', 'failed'], ['nothing', 'unknown_method']]) {
      const answer = await call(method, null)
      assert.deepEqual([answer.code, JSON.parse(answer.err).error.code], [7, code])
    }
    const elsewhere = await ran('call', 'o://js/nobody', 'upper', '"x"', '--peer', peer, '--json')
    assert.deepEqual([elsewhere.code, JSON.parse(elsewhere.err).error.code], [3, 'not_found'])
  })
  await node.stop()
}

// An agent that nobody was told of: the table knows it, and it confirms with its own signature.
async function found (bootstrap) {
  const [privateKey, capabilities, network] = [await generateKeyPair('Ed25519'), ['text/upper'], 'main']
  const node = await jsNode(['/ip4/127.0.0.1/tcp/0'], privateKey)
  const addresses = node.getMultiaddrs().map((at) => at.toString())
  const { peerId } = node
  const envelope = await signRecord({ privateKey, peerId, address: HERE, network, addresses, capabilities, methods })
  const agent = description({ address: HERE, capabilities, methods, envelope })
  const describe = {
    shape: SHAPES.unary,
    async * run (_, { target }) {
      yield target === HERE ? agent : { peer: peerId.toString(), network, software: AGENT, agents: [agent] }
    }
  }
  await node.handle(PROTOCOL, (stream) => {
    new Session(stream, { dialer: false, agent: AGENT, address: HERE, methods: { ...methods, describe } })
  })
  const tcp = bootstrap.find((address) => !address.includes('/ws'))
  await step('  it tells the table', async () => {
    await node.dial(multiaddr(tcp))
    for (const key of [nameKey(HERE), capabilityKey('text/upper')]) {
      // Nobody to tell as long as the table is empty; identify fills it.
      for (let told = 0; told === 0; await sleep(20)) {
        for await (const event of node.services.dht.provide(key)) told += event.name === 'PEER_RESPONSE' ? 1 : 0
      }
    }
  })
  const at = ['--bootstrap', tcp, '--json']
  await step('  `o call` finds it by its name', async () => {
    const { code, values, err } = await ran('call', HERE, 'upper', '"found"', ...at)
    assert.deepEqual([code, values], [0, ['FOUND']], err)
  })
  await step('  `o find` finds it by what it can do, and it has confirmed', async () => {
    const { code, values, err } = await ran('find', 'text/upper', '--timeout', '3s', ...at)
    assert.equal(code, 0, err)
    const seen = values.map((found) => [found.address, found.peer_id, found.confirmed])
    assert.deepEqual(seen, [[HERE, peerId.toString(), true]])
  })
  await node.stop()
}

await serving(clients)
for (const listen of ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws']) {
  console.log(`an agent in JavaScript, ${listen.endsWith('ws') ? 'WebSocket' : 'TCP'}`)
  await listener(listen)
}
console.log('an agent in JavaScript that is looked for')
await serving(({ listen }) => found(listen))
console.log('interop: js-libp2p and o understand each other')
leave(0)

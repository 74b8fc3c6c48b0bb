// The protocol /o-call/1, written from docs/wire.md and nothing else: frames, headers, one session.

import { decode, decodeBody, encode } from './cbor.mjs'

export const PROTOCOL = '/o-call/1'
export const KINDS = [undefined, 'HELLO', 'CALL', 'ITEM', 'ERROR', 'CANCEL', 'CREDIT', 'PING', 'GOODBYE']
export const FLAGS = { END: 1, MORE: 2, EMPTY: 4, PONG: 8 }
export const CODES = {
  not_found: 3, timed_out: 6, failed: 7, unknown_method: 11, invalid_params: 12, unsupported: 15, protocol: 16, shutting_down: 17, wrong_shape: 18
}
export const SHAPES = { unary: 1, server: 2, client: 3, bidirectional: 4 }
const [HELLO, CALL, ITEM, ERROR, CANCEL, CREDIT, PING, GOODBYE] = [1, 2, 3, 4, 5, 6, 7, 8]
const [LARGEST_FRAME, CREDIT_AT_FIRST, LARGEST_PART, COST_OF_FRAME] = [81_920, 65_536, 65_536, 64]
const EMPTY_BODY = new Uint8Array(0)

// One frame at the front of `bytes`, or undefined as long as it is not all there.
export function parseFrame (bytes, largest = LARGEST_FRAME) {
  if (bytes.length < 4) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = view.getUint32(0)
  if (length < 12 || length + 4 > largest) throw new Error(`a frame of ${length} bytes`)
  if (bytes.length < length + 4) return undefined
  const header = view.getUint16(6)
  if (header > length - 12 || header > 16_384) throw new Error('a header that is too long')
  return {
    size: length + 4,
    kind: bytes[4],
    flags: bytes[5],
    id: view.getBigUint64(8),
    headerBytes: bytes.subarray(16, 16 + header),
    body: bytes.subarray(16 + header, 4 + length)
  }
}

export function writeFrame (kind, flags, id, header, body = EMPTY_BODY) {
  const head = header === undefined ? EMPTY_BODY : encode(header)
  const out = new Uint8Array(16 + head.length + body.length)
  const view = new DataView(out.buffer)
  view.setUint32(0, out.length - 4)
  out[4] = kind
  out[5] = flags
  view.setUint16(6, head.length)
  view.setBigUint64(8, BigInt(id))
  out.set(head, 16)
  out.set(body, 16 + head.length)
  return out
}

// A map of integers in ascending order, without the keys that have no value.
function header (entries) {
  const kept = Object.entries(entries).filter(([, value]) => value !== undefined)
  return new Map(kept.map(([key, value]) => [Number(key), value]))
}

export class WireError extends Error {
  constructor (head) {
    super(head.get(2) ?? '')
    this.code = head.get(1) ?? 0
    this.retryable = head.get(3) ?? false
    this.certain = head.get(4) ?? true
    this.shape = head.get(5) ?? 1
  }
}

// Items of one direction of a call, in order, for `for await`.
class Items {
  #ready = []
  #waiting = []
  #end

  push (item) { this.#give({ value: item, done: false }) }
  end () { this.#finish({ value: undefined, done: true }) }
  fail (error) { this.#finish({ error }) }

  #give (result) {
    if (this.#end) return
    const waiting = this.#waiting.shift()
    if (waiting) waiting(result)
    else this.#ready.push(result)
  }

  #finish (end) {
    if (this.#end) return
    this.#end = end
    for (const waiting of this.#waiting.splice(0)) waiting(end)
  }

  async next () {
    const result = this.#ready.shift() ?? this.#end ?? await new Promise((resolve) => this.#waiting.push(resolve))
    if (result.error) throw result.error
    return result
  }

  [Symbol.asyncIterator] () { return this }
}

// A call from either end: what came, what may be sent, and whether it is over.
class Call {
  items = new Items()
  parts = []
  over = false
  cancelled = new AbortController()
  #allowed
  #more = []

  constructor (session, id, allowed) {
    [this.session, this.id, this.#allowed] = [session, id, allowed]
  }

  credit (bytes) {
    this.#allowed += bytes
    for (const wake of this.#more.splice(0)) wake()
  }

  // Sends one item, in parts where it must be, waiting for credit.
  async send (kind, flags, head, body) {
    let at = 0
    do {
      while (!this.over && this.#allowed < COST_OF_FRAME + Math.min(1, body.length - at)) {
        await new Promise((resolve) => this.#more.push(resolve))
      }
      if (this.over) return
      const most = Math.min(LARGEST_PART, this.#allowed - COST_OF_FRAME)
      const part = body.subarray(at, at + most)
      at += part.length
      const last = at === body.length
      this.#allowed -= part.length + COST_OF_FRAME
      this.session.write(kind, last ? flags : (flags & ~FLAGS.END) | FLAGS.MORE, this.id, head, part)
      kind = ITEM
      head = undefined
    } while (at < body.length)
  }

  // What the program has taken is given back in whole, at once: the simplest rule that keeps the promise.
  give (bytes) {
    if (!this.over && bytes > 0) this.session.write(CREDIT, 0, this.id, header({ 1: bytes }))
  }

  async take () {
    const { value, done } = await this.items.next()
    if (done) return { done }
    this.give(value.cost)
    return { done: false, value: value.value }
  }

  finish (error) {
    this.over = true
    if (error) this.items.fail(error)
    else this.items.end()
    this.credit(0)
    this.cancelled.abort()
  }
}

// One session on one substream. `methods`: `{ 'name': { shape, run (params, call) } }`, of the one address served.
export class Session {
  heard = {}
  #calls = new Map()
  #pings = new Map()
  #buffer = new Uint8Array(0)
  #lowest
  #next
  #theirs = 0n

  constructor (stream, { dialer, network = 'main', agent, address, methods = {} }) {
    [this.stream, this.dialer, this.address, this.methods] = [stream, dialer, address, methods]
    this.#next = dialer ? 1n : 2n
    this.hello = new Promise((resolve, reject) => { [this.heard.resolve, this.heard.reject] = [resolve, reject] })
    this.hello.catch(() => {})
    this.closed = new Promise((resolve) => { this.closing = resolve })
    this.peer = { largest: LARGEST_FRAME, calls: 64, credit: CREDIT_AT_FIRST }
    this.write(HELLO, 0, 0, header({
      1: 0, 2: 0, 3: LARGEST_FRAME, 4: 64, 5: CREDIT_AT_FIRST, 6: network, 7: address && [address], 8: agent
    }))
    stream.addEventListener('message', ({ data }) => this.#read(data.subarray()))
    stream.addEventListener('close', () => this.#lost())
    // There is no half-closed session: this side ends too, which is what the other one waits for.
    stream.addEventListener('remoteCloseWrite', () => {
      this.#lost()
      stream.close().catch(() => {})
    })
  }

  write (kind, flags, id, head, body) {
    if (this.gone) return
    this.stream.send(writeFrame(kind, flags, id, head, body))
  }

  #read (data) {
    if (this.gone) return
    const joined = new Uint8Array(this.#buffer.length + data.length)
    joined.set(this.#buffer)
    joined.set(data, this.#buffer.length)
    this.#buffer = joined
    try {
      for (let frame; (frame = parseFrame(this.#buffer)) !== undefined;) {
        this.#buffer = this.#buffer.subarray(frame.size)
        this.#on(frame)
      }
    } catch (error) {
      this.write(GOODBYE, 0, 0, header({ 1: CODES.protocol, 2: error.message }))
      this.stream.close().catch(() => {})
      this.#lost(error)
    }
  }

  #on (frame) {
    const { kind, flags, id, headerBytes, body } = frame
    const empty = [CANCEL, PING].includes(kind) || headerBytes.length === 0
    const head = empty ? new Map() : decode(headerBytes)
    if (kind === GOODBYE) return this.#goodbye(head)
    if (kind > GOODBYE || kind === 0) return
    if (!this.greeted && kind !== HELLO) throw new Error('a frame before HELLO')
    if (kind === HELLO) return this.#hello(head)
    if (kind === PING) return this.#ping(flags, id)
    if (kind === CALL) return this.#called(frame, head)
    const call = this.#calls.get(id)
    if (call === undefined) return this.#unknown(id)
    if (kind === CREDIT) call.credit(head.get(1) ?? 0)
    else if (kind === ITEM) this.#item(call, flags, head, body)
    else if (kind === ERROR) this.#end(call, new WireError(head))
    else if (kind === CANCEL) this.#end(call, new Error('cancelled'))
  }

  #unknown (id) {
    const theirs = (id % 2n === 1n) !== this.dialer
    if (theirs ? id > this.#theirs : id >= this.#next) throw new Error(`a frame for call ${id}, which never was`)
  }

  #hello (head) {
    if (this.greeted) throw new Error('a second HELLO')
    this.greeted = true
    const credit = head.get(5) ?? CREDIT_AT_FIRST
    for (const call of this.#calls.values()) call.credit(credit - this.peer.credit)
    this.peer = {
      largest: head.get(3) ?? LARGEST_FRAME, calls: head.get(4) ?? 64, credit,
      network: head.get(6), hosted: head.get(7) ?? [], agent: head.get(8) ?? ''
    }
    this.heard.resolve(this.peer)
  }

  #goodbye (head) {
    this.parted = new WireError(header({ 1: head.get(1) ?? CODES.shutting_down, 2: head.get(2) }))
    if ([5, 8, 16].includes(this.parted.code)) this.#lost(this.parted)
  }

  #ping (flags, nonce) {
    if (!(flags & FLAGS.PONG)) return this.write(PING, FLAGS.PONG, nonce)
    this.#pings.get(nonce)?.()
    this.#pings.delete(nonce)
  }

  #item (call, flags, head, body) {
    if (!(flags & FLAGS.EMPTY)) {
      call.cost = (call.cost ?? 0) + body.length + COST_OF_FRAME
      call.encoding = call.parts.length === 0 ? head.get(4) ?? call.asked : call.encoding
      call.parts.push(body)
      if (flags & FLAGS.MORE) {
        // A part is given back as it comes, so that an item larger than the account passes.
        call.give(body.length + COST_OF_FRAME)
        call.cost -= body.length + COST_OF_FRAME
      } else {
        call.items.push({ value: value(Buffer.concat(call.parts), call.encoding), cost: call.cost })
        call.parts = []
        call.cost = 0
      }
    }
    if (flags & FLAGS.END) {
      if (call.mine) this.#end(call)
      else call.items.end()
    }
  }

  #end (call, error) {
    this.#calls.delete(call.id)
    call.finish(error)
  }

  #lost (error = new Error('connection lost')) {
    if (this.gone) return
    this.gone = true
    for (const call of [...this.#calls.values()]) this.#end(call, error)
    this.heard.reject(error)
    this.closing(this.parted ?? error)
  }

  // Calls a method; the items of the answer are taken with `take`.
  async open (target, method, params, { shape = SHAPES.unary, timeout, open = false, encoding } = {}) {
    const call = new Call(this, this.#next, this.peer.credit)
    this.#next += 2n
    call.mine = true
    call.asked = encoding ?? 1
    this.#calls.set(call.id, call)
    const head = header({ 1: target, 2: method, 3: shape, 4: encoding, 5: timeout })
    await call.send(CALL, open ? 0 : FLAGS.END, head, bytes(params, call.asked))
    return call
  }

  // Calls a method that answers once.
  async call (target, method, params, options) {
    const call = await this.open(target, method, params, options)
    const { done, value } = await call.take()
    if (done) throw new Error('an answer without an item')
    return value
  }

  cancel (call) {
    this.write(CANCEL, 0, call.id)
    this.#end(call, new Error('cancelled'))
  }

  async ping (nonce) {
    const answered = new Promise((resolve) => this.#pings.set(nonce, resolve))
    this.write(PING, 0, nonce)
    await answered
  }

  goodbye (message) { this.write(GOODBYE, 0, 0, header({ 1: CODES.shutting_down, 2: message, 3: 0 })) }

  #called ({ flags, id, body }, head) {
    if ((id % 2n === 1n) === this.dialer || id <= this.#theirs) throw new Error(`a call with the id ${id}`)
    this.#theirs = id
    const call = new Call(this, id, this.peer.credit)
    call.asked = head.get(4) ?? 1
    call.target = head.get(1)
    this.#calls.set(id, call)
    this.#item(call, flags, new Map(), body)
    this.#serve(call, head)
  }

  async #serve (call, head) {
    const fail = (code, message, more = {}) => {
      if (call.over) return
      this.write(ERROR, 0, call.id, header({ 1: code, 2: message, 3: false, ...more }))
      this.#end(call)
    }
    if ([...head.keys()].some((key) => key < 0 || key === 14)) return fail(CODES.unsupported, 'a critical key')
    const here = call.target === this.address || call.target === 'o://~'
    if (!here) return fail(CODES.not_found, `no ${call.target} here`)
    const method = this.methods[head.get(2)]
    if (method === undefined) return fail(CODES.unknown_method, `no method ${head.get(2)}`)
    const shape = head.get(3) ?? SHAPES.unary
    // Whoever asks for a stream also takes one of a single item.
    if (method.shape !== shape && !(shape % 2 === 0 && method.shape === shape - 1)) return fail(CODES.wrong_shape, 'another shape', { 5: method.shape })
    try {
      const { value: params } = await call.take()
      const one = method.shape === SHAPES.unary || method.shape === SHAPES.client
      for await (const item of method.run(params, call)) {
        await call.send(ITEM, one ? FLAGS.END : 0, undefined, bytes(item, call.asked))
      }
      if (!call.over && !one) this.write(ITEM, FLAGS.EMPTY | FLAGS.END, call.id)
      this.#end(call)
    } catch (error) {
      fail(CODES.failed, error.message)
    }
  }
}

function value (body, encoding) {
  if (encoding === 3) return body
  if (body.length === 0) return undefined
  return encoding === 2 ? JSON.parse(body.toString()) : decodeBody(body)
}

function bytes (value, encoding) {
  if (encoding === 3) return value
  if (value === undefined) return EMPTY_BODY
  return encoding === 2 ? Buffer.from(JSON.stringify(value, jsonBytes)) : encode(value)
}

function jsonBytes (_, value) {
  return value instanceof Uint8Array ? { $bytes: Buffer.from(value).toString('base64') } : value
}

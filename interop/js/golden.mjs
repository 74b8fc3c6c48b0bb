// Reads every frame that docs/wire.md shows byte by byte, decodes it with a CBOR library that knows nothing of the
// project, and compares what comes out with what the document says beside the bytes.
//
//   node golden.mjs PATH/TO/docs/wire.md

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { decode, encode } from './cbor.mjs'
import { FLAGS, KINDS, parseFrame } from './wire.mjs'

const document = readFileSync(process.argv[2] ?? '../../docs/wire.md', 'utf8')

// A name of a file in back quotes on a line of its own, an empty line, and a block of text.
const examples = [...document.matchAll(/^`([\w-]+)\.hex`\n\n```text\n([\s\S]*?)^```$/gm)]
assert.ok(examples.length >= 10, `only ${examples.length} examples were found in the document`)

// One line: hex digits, and what they are. Two more spaces make it the value of the key above.
function rows (block) {
  return block.trimEnd().split('\n').map((line) => {
    const [, hex, gap, says] = /^([0-9a-f]+)(?:( +)(.*))?$/.exec(line) ?? assert.fail(`not an example's line: ${line}`)
    return { bytes: Buffer.from(hex, 'hex'), nested: (gap?.length ?? 0) + hex.length > 34, says: says ?? '' }
  })
}

const number = (text) => Number(/\d+/.exec(text)?.[0])

// The words beside the bytes: kind, flags, id, the number of keys, and for each key what its value is said to be.
function described (lines) {
  const out = { keys: new Map(), body: Buffer.alloc(0) }
  let key, text
  for (const { bytes, nested, says } of lines) {
    if (out.inBody && says === '') out.body = Buffer.concat([out.body, bytes])
    else if (says.startsWith('length: ')) out.length = number(says)
    else if (says.startsWith('kind ')) [out.kind, out.kindName] = [number(says), says.split(': ')[1]]
    else if (says.startsWith('flags: ')) out.flags = says.slice(7).split(' and ').filter((flag) => flag !== 'none')
    else if (says.startsWith('header: ')) out.header = number(says)
    else if (says.startsWith('map of ')) out.map = number(says)
    else if (says.startsWith('key ')) {
      key = number(says)
      out.keys.set(key, undefined)
    } else if (says.startsWith('call id ')) out.id = BigInt(number(says))
    else if (says === 'no call') out.id = 0n
    else if (says === 'nonce') out.id = bytes.readBigUInt64BE()
    else if (says.startsWith('body: ')) [out.body, out.inBody, out.bodySays] = [bytes, true, says.slice(6)]
    else if (/^(text|byte string|array) of \d+/.test(says)) {
      text = says
      if (says.startsWith('array')) out.keys.set(key, [])
    } else if (says !== '') {
      assert.ok(nested && key !== undefined, `a value without a key: ${says}`)
      const value = valueOf(says, text)
      const held = out.keys.get(key)
      if (Array.isArray(held)) held.push(value)
      else out.keys.set(key, value)
      text = undefined
    }
  }
  return out
}

function valueOf (says, text) {
  if (text?.startsWith('byte string')) return Buffer.from(says, 'hex')
  if (/^".*"$/.test(says)) {
    const value = says.slice(1, -1)
    assert.equal(Buffer.byteLength(value), number(text), `${text}: ${says}`)
    return value
  }
  if (says === 'true' || says === 'false') return says === 'true'
  assert.match(says, /^\d+$/)
  return Number(says)
}

function check (name, block) {
  const lines = rows(block)
  const bytes = Buffer.concat(lines.map((line) => line.bytes))
  const says = described(lines)
  const frame = parseFrame(bytes)
  assert.equal(frame.size, bytes.length, 'the length field covers the frame')
  assert.equal(bytes.readUInt32BE(0), says.length, 'length')
  assert.equal(frame.kind, says.kind, 'kind')
  assert.equal(KINDS[frame.kind], says.kindName, 'name of the kind')
  assert.equal(frame.flags, says.flags.reduce((sum, flag) => sum | (FLAGS[flag] ?? assert.fail(flag)), 0), 'flags')
  assert.equal(frame.id, says.id, 'id')
  assert.equal(frame.headerBytes.length, says.header, 'header')
  // The map as an unbiased library reads it.
  const header = frame.headerBytes.length > 0 ? decode(frame.headerBytes) : new Map()
  assert.equal(header.size, says.map ?? 0, 'number of keys')
  assert.deepEqual([...header.keys()], [...says.keys.keys()], 'keys, and their order')
  for (const [key, value] of says.keys) {
    const read = header.get(key)
    if (Buffer.isBuffer(value)) assert.deepEqual(Buffer.from(read), value, `key ${key}`)
    else assert.deepEqual(read, value, `key ${key}`)
  }
  // Ascending keys and shortest forms: what that library writes is the same bytes.
  if (header.size > 0) assert.deepEqual(Buffer.from(encode(header)), Buffer.from(frame.headerBytes), 'written again')
  assert.deepEqual(Buffer.from(frame.body), says.body, 'body')
  checkBody(frame, says)
}

function checkBody (frame, says) {
  const cbor = /the CBOR (?:text|number) (.+)$/.exec(says.bodySays ?? '')
  if (cbor) assert.deepEqual(decode(frame.body), JSON.parse(cbor[1]), 'body')
  const json = /the JSON object (.+)$/.exec(says.bodySays ?? '')
  if (json) assert.deepEqual(JSON.parse(Buffer.from(frame.body).toString()), JSON.parse(json[1]), 'body')
}

for (const [, name, block] of examples) {
  try {
    check(name, block)
  } catch (error) {
    error.message = `${name}.hex: ${error.message}`
    throw error
  }
}
console.log(`golden: ${examples.length} frames of the document are what it says they are`)

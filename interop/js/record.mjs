// Signed records and keys of the table, from docs/wire.md.

import { createHash } from 'node:crypto'
import { RecordEnvelope } from '@libp2p/peer-record'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { encode } from './cbor.mjs'
import { SHAPES } from './wire.mjs'

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()

// A key of the table, as the CID whose multihash js-libp2p asks for.
function key (kind, text) {
  return CID.createV1(0x55, Digest.create(0x12, sha256(`${kind}\0${text}`)))
}

export const nameKey = (name) => key('o-name/1', name)
export const capabilityKey = (capability) => key('o-capability/1', capability)

// Of a method without schemas.
export function methodHash (shape) {
  return sha256('o-method/1\0', Uint8Array.of(shape), new Uint8Array(64))
}

// The envelope of what `peerId` says about one of its agents.
export async function signRecord ({ privateKey, peerId, address, network, addresses, capabilities, methods }) {
  const now = Math.floor(Date.now() / 1000)
  const payload = new Map([
    [1, network], [2, address], [3, peerId.toMultihash().bytes], [4, Date.now()], [5, now], [6, 3600], [7, addresses],
    [8, capabilities], [9, Object.entries(methods).map(([name, { shape }]) => [name, shape, methodHash(shape)])]
  ])
  const record = {
    domain: 'o-record/1',
    codec: new TextEncoder().encode('/o-record/1'),
    marshal: () => encode(payload),
    equals: () => false
  }
  return (await RecordEnvelope.seal(record, privateKey)).marshal()
}

// What `describe` says of an agent.
export function description ({ address, capabilities, methods, envelope }) {
  const names = Object.fromEntries(Object.entries(SHAPES).map(([name, number]) => [number, name]))
  return {
    address,
    capabilities,
    methods: Object.entries(methods).map(([name, { shape }]) => {
      return { name, shape: names[shape], hash: methodHash(shape).toString('hex') }
    }),
    record: envelope
  }
}

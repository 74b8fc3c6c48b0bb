// The CBOR library, with the settings that docs/wire.md asks for: headers have integers as keys, bodies names.

import * as cborg from 'cborg'

export const decode = (bytes) => cborg.decode(bytes, { useMaps: true, rejectDuplicateMapKeys: true })
export const decodeBody = (bytes) => cborg.decode(bytes, { rejectDuplicateMapKeys: true })
export const encode = (value) => cborg.encode(value)

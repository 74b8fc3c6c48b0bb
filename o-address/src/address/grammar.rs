//! The check of a name's segments, shared by every way to make an address.

use super::error::AddressError;

pub(super) const MAX_SEGMENTS: usize = 16;
pub(super) const MAX_SEGMENT_LEN: usize = 63;
/// The most bytes of all segments with the slashes between them.
pub(super) const MAX_SEGMENTS_LEN: usize = MAX_SEGMENTS * MAX_SEGMENT_LEN + MAX_SEGMENTS - 1;

/// Checks segments joined by slashes, of a text in which they begin at byte `base`.
pub(super) fn check_segments(segments: &str, base: usize) -> Result<(), AddressError> {
    if segments.is_empty() {
        return Err(AddressError::Empty { offset: base });
    }
    let mut offset = base;
    let mut parts = segments.split('/').enumerate().peekable();
    while let Some((index, segment)) = parts.next() {
        if segment.is_empty() {
            // The first segment is not the last one here: no segments at all are refused above.
            return Err(match parts.peek() {
                None => AddressError::TrailingSlash { offset: offset - 1 },
                Some(_) => AddressError::EmptySegment { offset },
            });
        }
        if index >= MAX_SEGMENTS {
            return Err(AddressError::TooManySegments {
                offset,
                limit: MAX_SEGMENTS,
            });
        }
        check_segment(segment, offset)?;
        offset += segment.len() + 1;
    }
    Ok(())
}

/// Checks one segment, of a text in which it begins at byte `offset`. The length goes first, to bound the rest.
pub(super) fn check_segment(segment: &str, offset: usize) -> Result<(), AddressError> {
    if segment.is_empty() {
        return Err(AddressError::EmptySegment { offset });
    }
    if segment.len() > MAX_SEGMENT_LEN {
        return Err(AddressError::SegmentTooLong {
            offset,
            length: segment.len(),
            limit: MAX_SEGMENT_LEN,
        });
    }
    if let Some((index, found)) = segment.char_indices().find(|(_, c)| !is_allowed(*c)) {
        return Err(AddressError::BadCharacter {
            offset: offset + index,
            found,
        });
    }
    if matches!(segment, "." | "..") {
        return Err(AddressError::DotSegment { offset });
    }
    Ok(())
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-')
}

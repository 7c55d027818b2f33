//! Pure: the frame around every value on disk, by which a call is found even in the ruins of a
//! database that opens no more.
//!
//! ```text
//! | "A2Q1" | key length u32 | key | payload length u32 | payload | crc32 of all between u32 |
//! ```
//! Numbers are little-endian. The key is the call's id (the tree's key in the small trees), the
//! payload JSON with a version `"v"`.

pub const MAGIC: &[u8; 4] = b"A2Q1";

/// What a frame costs beyond its key and payload, in bytes.
pub const OVERHEAD: usize = 16;

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("the value does not begin with the mark of a frame")]
    Magic,
    #[error("the value is cut short")]
    Cut,
    #[error("the checksum is wrong")]
    Checksum,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    pub key: &'a [u8],
    pub payload: &'a [u8],
}

pub fn encode(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(OVERHEAD + key.len() + payload.len());
    bytes.extend_from_slice(MAGIC);
    for part in [key, payload] {
        let length = u32::try_from(part.len()).expect("a value is far shorter than 4 GiB");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    let crc = crc32fast::hash(&bytes[MAGIC.len()..]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a frame that begins with the first of `bytes`; what follows it is no concern.
///
/// # Errors
/// When the bytes are not those of an undamaged frame.
pub fn decode(bytes: &[u8]) -> Result<Frame<'_>, Error> {
    let body = bytes.strip_prefix(MAGIC).ok_or(Error::Magic)?;
    let (key, rest) = part(body)?;
    let (payload, rest) = part(rest)?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or(Error::Cut)?;
    let length = body.len() - rest.len() - crc.len();
    if crc32fast::hash(&body[..length]) != u32::from_le_bytes(*crc) {
        return Err(Error::Checksum);
    }
    Ok(Frame { key, payload })
}

fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Error::Cut)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Error::Cut)?;
    rest.split_at_checked(length).ok_or(Error::Cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_gives_back_its_key_and_payload() {
        let bytes = encode(b"key", b"payload");
        assert_eq!(bytes.len(), OVERHEAD + 3 + 7);
        assert_eq!(decode(&bytes), Ok(Frame { key: b"key", payload: b"payload" }));
        assert_eq!(decode(&encode(b"", b"")), Ok(Frame { key: b"", payload: b"" }));
    }

    #[test]
    fn bytes_behind_a_frame_are_no_concern() {
        let mut bytes = encode(b"key", b"payload");
        bytes.extend_from_slice(b"the rest of a segment");
        assert_eq!(decode(&bytes).unwrap().payload, b"payload");
    }

    #[test]
    fn no_changed_bit_goes_unseen() {
        let whole = encode(b"key", b"payload");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn no_cut_goes_unseen() {
        let whole = encode(b"key", b"payload");
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}

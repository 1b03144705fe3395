//! The envelope: what every version can read, also of a frame that it does not know.

use super::bytes::{Malformed, Reader, Writer};

/// The versions of the protocol that this build speaks.
pub(crate) const OLDEST_VERSION: u16 = 1;
pub(crate) const NEWEST_VERSION: u16 = 1;

/// The size of a header in bytes.
pub(crate) const HEADER: usize = 12;

/// A payload's limit: a status with 4,000 sockets of the longest names fits, and a garbage length reserves no gigabytes.
const PAYLOAD_LIMIT: u32 = 4 * 1024 * 1024;

/// The kernel passes no more in one message.
const DESCRIPTOR_LIMIT: u16 = 253;

const MUST_UNDERSTAND: u16 = 1;

/// The beginning of a HELLO's payload, in every version.
pub(super) const MAGIC: [u8; 8] = *b"hotrest\n";

/// As much of a HELLO as tells for whom it is.
pub(crate) const PEEK: usize = HEADER + MAGIC.len() + 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u16,
    pub(crate) must_understand: bool,
    pub(crate) length: u32,
    pub(crate) descriptors: u16,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER] {
        let mut bytes = Writer::default();
        bytes.u16(self.kind);
        bytes.u16(if self.must_understand { MUST_UNDERSTAND } else { 0 });
        bytes.u32(self.length);
        bytes.u16(self.descriptors);
        bytes.u16(0); // reserved
        bytes.0.try_into().expect("the fields above are 12 bytes")
    }

    /// Refuses what no version may send. Flags that it does not know are for a later version to use.
    pub(crate) fn decode(bytes: [u8; HEADER]) -> Result<Self, Malformed> {
        let mut fields = Reader(&bytes);
        let kind = fields.u16()?;
        let must_understand = fields.u16()? & MUST_UNDERSTAND != 0;
        let length = fields.u32()?;
        let descriptors = fields.u16()?;
        if length > PAYLOAD_LIMIT {
            return Err(Malformed::new(format!("a frame claims {length} bytes, the limit is {PAYLOAD_LIMIT}")));
        }
        if descriptors > DESCRIPTOR_LIMIT {
            return Err(Malformed::new(format!(
                "a frame claims {descriptors} descriptors, the limit is {DESCRIPTOR_LIMIT}"
            )));
        }
        Ok(Self { kind, must_understand, length, descriptors })
    }
}

/// For whom a channel's first bytes are, if they begin a HELLO.
pub(crate) fn peek_pid(bytes: &[u8; PEEK]) -> Option<u32> {
    let mut fields = Reader(&bytes[HEADER..]);
    let magic = fields.take(MAGIC.len()).ok()?;
    let pid = fields.u32().ok()?;
    (magic == MAGIC).then_some(pid)
}

//! Numbers and strings as little-endian bytes, with every length checked.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// Bytes that are no message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl Malformed {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends fields to a payload.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// At most 65,535 bytes: what is longer is cut at a character, because the long strings are reasons for people.
    pub(super) fn string(&mut self, value: &str) {
        let end = (0..=value.len().min(u16::MAX.into())).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
        self.u16(end as u16);
        self.0.extend(&value.as_bytes()[..end]);
    }

    /// Any bytes, such as a path; the kernel's limits keep them far below 65,535.
    pub(super) fn os_string(&mut self, value: &OsStr) {
        let bytes = &value.as_bytes()[..value.len().min(u16::MAX.into())];
        self.u16(bytes.len() as u16);
        self.0.extend(bytes);
    }

    /// A list whose items may get more fields in a later version: each comes with its length.
    pub(super) fn items<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.list(items, |to, item| {
            let mut fields = Self::default();
            each(&mut fields, item);
            // A name of 255 bytes and two addresses of at most 65,535 that the kernel keeps below 200.
            to.u16(fields.0.len().try_into().unwrap_or(u16::MAX));
            to.0.append(&mut fields.0);
        });
    }

    /// Fields in the middle of a message that may get more of them in a later version, and may be long.
    pub(super) fn block(&mut self, fields: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fields(&mut inner);
        self.u32(inner.0.len() as u32);
        self.0.append(&mut inner.0);
    }

    /// The count and then each item. The caller's lists are bounded far below 2^32.
    pub(super) fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.u32(items.len() as u32);
        for item in items {
            each(self, item);
        }
    }
}

/// Takes fields off a payload.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| Malformed::new("a message ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.take(N)?.try_into().expect("`take` gives as many bytes as asked for"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn string(&mut self) -> Result<String, Malformed> {
        let length = self.u16()?;
        let bytes = self.take(length.into())?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::new("a string is not UTF-8"))
    }

    pub(super) fn os_string(&mut self) -> Result<OsString, Malformed> {
        let length = self.u16()?;
        Ok(OsString::from_vec(self.take(length.into())?.to_vec()))
    }

    pub(super) fn block<T>(&mut self, fields: impl FnOnce(&mut Self) -> Result<T, Malformed>) -> Result<T, Malformed> {
        let length = self.u32()?;
        fields(&mut Self(self.take(length as usize)?))
    }

    pub(super) fn items<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        self.list(|from| {
            let length = from.u16()?;
            each(&mut Self(from.take(length.into())?))
        })
    }

    /// A count that promises more items than there are bytes is refused before anything is reserved for it.
    pub(super) fn list<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u32()? as usize;
        if count > self.0.len() {
            return Err(Malformed::new(format!("a list claims {count} items in {} bytes", self.0.len())));
        }
        (0..count).map(|_| each(self)).collect()
    }
}

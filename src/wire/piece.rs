//! State in pieces: a whole one would be longer than a frame may be.

use std::{collections::HashSet, fmt, ops::Range, sync::Arc};

use super::bytes::{Malformed, Reader, Writer};
use crate::{name::Name, state::PassedState};

/// How much goes into one frame.
const LONGEST: usize = 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) name: Name,
    pub(crate) version: u32,
    /// Of the whole.
    pub(crate) length: u32,
    /// Where in the whole it begins.
    pub(crate) offset: u32,
    pub(crate) bytes: Slice,
}

/// A part of bytes that all pieces share: the whole is in memory once, and each frame is made in its turn.
#[derive(Clone)]
pub(crate) struct Slice {
    whole: Arc<Vec<u8>>,
    range: Range<usize>,
}

/// In order. Nothing is a piece, too: an empty state is one that was passed.
pub(crate) fn pieces(state: PassedState) -> impl Iterator<Item = Piece> {
    let (name, version, bytes) = state.into_parts();
    let whole = Arc::new(bytes);
    let length = whole.len();
    (0..length.div_ceil(LONGEST).max(1)).map(move |number| {
        let start = number * LONGEST;
        let range = start..length.min(start + LONGEST);
        let bytes = Slice { whole: Arc::clone(&whole), range };
        // Whoever took the state has seen that it is not longer than 16 MiB.
        Piece { name: name.clone(), version, length: length as u32, offset: start as u32, bytes }
    })
}

impl Piece {
    pub(super) fn encode(&self, to: &mut Writer) {
        to.string(self.name.as_str());
        to.u32(self.version);
        to.u32(self.length);
        to.u32(self.offset);
        to.block(|to| to.0.extend(self.bytes.as_ref()));
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let name = Name::passed(&from.string()?).map_err(|error| Malformed::new(error.to_string()))?;
        let (version, length, offset) = (from.u32()?, from.u32()?, from.u32()?);
        let bytes = from.block(|from| Ok(from.0.to_vec()))?;
        Ok(Self { name, version, length, offset, bytes: bytes.into() })
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        &self.whole[self.range.clone()]
    }
}

impl From<Vec<u8>> for Slice {
    fn from(bytes: Vec<u8>) -> Self {
        Self { range: 0..bytes.len(), whole: Arc::new(bytes) }
    }
}

impl PartialEq for Slice {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Slice {}

/// Without the bytes, which are an application's own affair.
impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.range.len())
    }
}

/// What has come of a predecessor's state. Its pieces come in order, and one state after the other.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    whole: Vec<PassedState>,
    names: HashSet<Name>,
    /// How many bytes the states that have begun are to have.
    promised: usize,
    unfinished: Option<Unfinished>,
}

struct Unfinished {
    name: Name,
    version: u32,
    length: u32,
    bytes: Vec<u8>,
}

impl Gathered {
    /// Refuses what does not follow on what has come, and what promises more than may be passed. What was whole before
    /// stays.
    pub(crate) fn add(&mut self, piece: &Piece) -> Result<(), Malformed> {
        let mut state = match self.unfinished.take() {
            Some(state) if state.is_continued_by(piece) => state,
            Some(state) => {
                let what = format!("a piece of the state {:?} came where {:?} goes on", piece.name, state.name);
                return Err(Malformed::new(what));
            }
            None => self.begin(piece)?,
        };
        let bytes = piece.bytes.as_ref();
        let missing = state.length as usize - state.bytes.len();
        if bytes.len() > missing || bytes.is_empty() && missing > 0 {
            let what = format!(
                "a piece of {} bytes of the state {:?} came, of which {missing} bytes were missing",
                bytes.len(),
                state.name
            );
            return Err(Malformed::new(what));
        }
        state.bytes.extend(bytes);
        if state.bytes.len() < state.length as usize {
            self.unfinished = Some(state);
        } else {
            self.whole.push(PassedState::new(state.name, state.version, state.bytes));
        }
        Ok(())
    }

    fn begin(&mut self, piece: &Piece) -> Result<Unfinished, Malformed> {
        let Piece { name, version, length, offset, .. } = piece.clone();
        let refused = |why: &str| Err(Malformed::new(format!("the state {name:?} {why}")));
        if offset != 0 {
            return refused(&format!("begins at its byte {offset}"));
        }
        if length as usize > PassedState::MOST_BYTES {
            return refused(&format!("is to have {length} bytes, the limit is {}", PassedState::MOST_BYTES));
        }
        if self.promised + length as usize > PassedState::MOST_BYTES_TOGETHER {
            return refused(&format!("makes it more than {} bytes together", PassedState::MOST_BYTES_TOGETHER));
        }
        if self.names.len() >= PassedState::MOST_NAMES {
            return refused(&format!("is one too many, the limit is {}", PassedState::MOST_NAMES));
        }
        if !self.names.insert(name.clone()) {
            return refused("came twice");
        }
        self.promised += length as usize;
        Ok(Unfinished { name, version, length, bytes: Vec::with_capacity(length as usize) })
    }

    /// All, if all are whole.
    pub(crate) fn all(self) -> Result<Vec<PassedState>, Malformed> {
        match &self.unfinished {
            Some(state) => Err(state.missing()),
            None => Ok(self.whole),
        }
    }

    /// Those that are whole, and what is to be said of another one that has begun.
    pub(crate) fn whole(self) -> (Vec<PassedState>, Option<Malformed>) {
        (self.whole, self.unfinished.as_ref().map(Unfinished::missing))
    }
}

impl Unfinished {
    fn is_continued_by(&self, piece: &Piece) -> bool {
        let expected = (&self.name, self.version, self.length, self.bytes.len());
        (&piece.name, piece.version, piece.length, piece.offset as usize) == expected
    }

    fn missing(&self) -> Malformed {
        let (has, length) = (self.bytes.len(), self.length);
        Malformed::new(format!("the state {:?} has only {has} of its {length} bytes", self.name))
    }
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} of {} bytes", self.name, self.bytes.len(), self.length)
    }
}

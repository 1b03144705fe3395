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
        // The length is a promise: it reserves nothing.
        Ok(Unfinished { name, version, length, bytes: Vec::new() })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::new(name).unwrap()
    }

    fn state(length: usize) -> PassedState {
        let bytes = (0..length).map(|at| (at / 7) as u8).collect();
        PassedState::new(name("a"), 3, bytes)
    }

    fn piece(of: &str, length: u32, offset: u32, bytes: usize) -> Piece {
        Piece { name: name(of), version: 1, length, offset, bytes: vec![7; bytes].into() }
    }

    /// The last of these is refused, for this reason.
    #[track_caller]
    fn is_refused(pieces: &[Piece], why: &str) {
        let mut gathered = Gathered::default();
        let (last, before) = pieces.split_last().unwrap();
        for piece in before {
            gathered.add(piece).unwrap();
        }
        assert_eq!(gathered.add(last).unwrap_err().to_string(), why);
    }

    #[test]
    fn a_state_of_any_length_comes_whole_in_pieces_of_a_mebibyte() {
        let lengths = [(0, 1), (1, 1), (LONGEST, 1), (LONGEST + 1, 2), (PassedState::MOST_BYTES, 16)];
        for (length, count) in lengths {
            let (mut gathered, mut counted) = (Gathered::default(), 0);
            for piece in pieces(state(length)) {
                gathered.add(&piece).unwrap();
                counted += 1;
            }
            assert_eq!(counted, count, "{length}");
            assert!(gathered.all().unwrap() == [state(length)], "{length}");
        }
    }

    #[test]
    fn a_piece_that_does_not_follow_on_the_last_is_refused() {
        let begun = || piece("a", 10, 0, 4);
        let overlaps = "a piece of the state \"a\" came where \"a\" goes on";
        is_refused(&[begun(), piece("a", 10, 3, 4)], overlaps);
        is_refused(&[begun(), piece("a", 10, 5, 4)], overlaps);
        is_refused(&[begun(), piece("a", 11, 4, 4)], overlaps);
        is_refused(&[begun(), Piece { version: 2, ..piece("a", 10, 4, 4) }], overlaps);
        is_refused(&[begun(), piece("b", 10, 0, 4)], "a piece of the state \"b\" came where \"a\" goes on");
        is_refused(&[piece("a", 10, 4, 4)], "the state \"a\" begins at its byte 4");
    }

    #[test]
    fn a_piece_of_nothing_and_one_of_too_much_are_refused() {
        let of = |bytes| format!("a piece of {bytes} bytes of the state \"a\" came, of which 6 bytes were missing");
        is_refused(&[piece("a", 10, 0, 4), piece("a", 10, 4, 7)], &of(7));
        is_refused(&[piece("a", 10, 0, 4), piece("a", 10, 4, 0)], &of(0));
    }

    #[test]
    fn more_than_may_be_passed_is_refused_before_it_comes() {
        let most = PassedState::MOST_BYTES as u32;
        is_refused(&[piece("a", most + 1, 0, 1)], "the state \"a\" is to have 16777217 bytes, the limit is 16777216");
        let mut whole: Vec<_> = (0..4).map(|number| piece(&number.to_string(), most, 0, most as usize)).collect();
        whole.push(piece("a", 1, 0, 1));
        is_refused(&whole, "the state \"a\" makes it more than 67108864 bytes together");
        let many: Vec<_> = (0..=1024).map(|number| piece(&number.to_string(), 0, 0, 0)).collect();
        is_refused(&many, "the state \"1024\" is one too many, the limit is 1024");
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        is_refused(&[piece("a", 2, 0, 2), piece("a", 2, 0, 2)], "the state \"a\" came twice");
    }

    #[test]
    fn what_is_unfinished_is_missing_and_what_is_whole_is_there() {
        let gathered = || {
            let mut gathered = Gathered::default();
            gathered.add(&piece("whole", 2, 0, 2)).unwrap();
            gathered.add(&piece("half", 2, 0, 1)).unwrap();
            gathered
        };
        let missing = Malformed::new("the state \"half\" has only 1 of its 2 bytes");
        assert_eq!(gathered().all().unwrap_err(), missing);
        assert_eq!(gathered().whole(), (vec![PassedState::new(name("whole"), 1, vec![7; 2])], Some(missing)));
    }

    #[test]
    fn neither_a_state_nor_a_piece_shows_its_bytes() {
        let secret = PassedState::new(name("a"), 1, b"\x2a\x2a\x2a".to_vec());
        let shown = format!("{secret:?} {:?}", pieces(secret.clone()).collect::<Vec<_>>());
        assert!(shown.contains("3 bytes") && !shown.contains("42"), "{shown}");
    }
}

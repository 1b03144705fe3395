//! The protocol between two generations as bytes, by hand: for ends of the channel that are none of this crate's.

use std::{io, os::fd::RawFd};

use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg};

/// What a release says, as it was recorded for ever.
const RECORDED: &str = include_str!("../../../src/wire/version1.txt");

const HEADER: usize = 12;

pub const MUST_UNDERSTAND: u16 = 1;

/// The kinds of frames, by the names that they have in the protocol.
const KINDS: [(&str, u16); 19] = [
    ("HELLO", 1),
    ("SOCKETS", 2),
    ("END", 3),
    ("COMMIT", 4),
    ("ABORT", 5),
    ("LET-GO", 6),
    ("STATE", 9),
    ("FINAL-STATE", 10),
    ("FINAL-END", 11),
    ("ACCEPTED", 32),
    ("REFUSED", 33),
    ("ARRIVED", 34),
    ("EXTEND", 35),
    ("READY", 36),
    ("REPLACED", 37),
    ("STOPPING", 38),
    ("FINAL-TAKEN", 39),
    ("WANT", 64),
    ("ANSWER", 65),
];

pub fn kind(name: &str) -> u16 {
    KINDS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no frame is called {name}")).1
}

/// The recorded frame of this name, whole.
pub fn recorded(name: &str) -> Vec<u8> {
    let lines = RECORDED.lines().filter(|line| !line.starts_with('#'));
    let mut frames = lines.map(|line| {
        let digits = line.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect::<Vec<u8>>()
    });
    frames.find(|frame| frame[..2] == kind(name).to_le_bytes()).expect("each kind was recorded")
}

/// A frame that may be wrong in any way.
pub fn frame(kind: u16, flags: u16, payload: &[u8], descriptors: u16) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    [&kind.to_le_bytes()[..], &flags.to_le_bytes(), &length, &descriptors.to_le_bytes(), &[0; 2], payload].concat()
}

pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
}

/// "I am your predecessor": without ancestors, without a standard error.
pub fn hello(successor: u32, generation: u64, (oldest, newest): (u16, u16)) -> Vec<u8> {
    let mut payload = b"hotrest\n".to_vec();
    payload.extend(successor.to_le_bytes());
    payload.extend([oldest.to_le_bytes(), newest.to_le_bytes()].concat());
    payload.extend(0_u32.to_le_bytes()); // capabilities
    payload.extend(generation.to_le_bytes());
    payload.extend(std::process::id().to_le_bytes());
    payload.extend(0_u64.to_le_bytes()); // watchdog
    payload.extend(0_u32.to_le_bytes()); // ancestors
    payload.push(0); // stderr
    frame(kind("HELLO"), MUST_UNDERSTAND, &payload, 0)
}

/// One TCP listener.
pub fn socket(name: &str, requested: &str, actual: &str) -> Vec<u8> {
    sockets(&[(1, name, requested, actual)])
}

/// The listener at a control path, under its reserved name.
pub fn control(path: &str) -> Vec<u8> {
    sockets(&[(9, "@hotrestart control", path, path)])
}

/// Each with its kind, its name, and where it was to be bound and is.
fn sockets(those: &[(u8, &str, &str, &str)]) -> Vec<u8> {
    let mut payload = (those.len() as u32).to_le_bytes().to_vec();
    for (code, name, requested, actual) in those {
        let socket = [text(name), vec![*code, 1], text(requested), text(actual), vec![0; 16]].concat();
        payload.extend((socket.len() as u16).to_le_bytes());
        payload.extend(socket);
    }
    frame(kind("SOCKETS"), MUST_UNDERSTAND, &payload, those.len() as u16)
}

/// The first word at a path: "I want to be your successor", or one of the wishes of operators.
pub fn want(wish: u8) -> Vec<u8> {
    let pid = std::process::id().to_le_bytes();
    let payload = [&b"hotrest\n"[..], &[1, 0, 1, 0, wish], &pid].concat();
    frame(kind("WANT"), MUST_UNDERSTAND, &payload, 0)
}

/// The answer to any wish that is not fulfilled: a kind of error by its number, and why.
pub fn failed(code: u16, why: &str) -> Vec<u8> {
    let payload = [&[2][..], &code.to_le_bytes(), &text(why), &[0; 5], &text("")].concat();
    frame(kind("ANSWER"), MUST_UNDERSTAND, &payload, 0)
}

/// A piece of STATE or FINAL-STATE, of version 1 of what the application makes of it.
pub fn piece(kind_name: &str, name: &str, length: u32, offset: u32, bytes: &[u8]) -> Vec<u8> {
    let [length, offset, count] = [length, offset, bytes.len() as u32].map(u32::to_le_bytes);
    let payload = [&text(name), &1_u32.to_le_bytes()[..], &length, &offset, &count, bytes].concat();
    frame(kind(kind_name), 0, &payload, 0)
}

/// With nothing that failed.
pub fn final_end() -> Vec<u8> {
    frame(kind("FINAL-END"), 0, &0_u32.to_le_bytes(), 0)
}

pub const TAKE_OVER: u8 = 1;

pub fn end(sockets: u32) -> Vec<u8> {
    frame(kind("END"), MUST_UNDERSTAND, &sockets.to_le_bytes(), 0)
}

pub fn ready(places: &[u32]) -> Vec<u8> {
    let count = places.len() as u32;
    let payload: Vec<u8> = [&[count], places].concat().into_iter().flat_map(u32::to_le_bytes).collect();
    frame(kind("READY"), MUST_UNDERSTAND, &payload, 0)
}

pub fn accepted(version: u16) -> Vec<u8> {
    frame(kind("ACCEPTED"), MUST_UNDERSTAND, &[&version.to_le_bytes()[..], &[0; 4]].concat(), 0)
}

/// With a reason of no special kind.
pub fn refused(why: &str) -> Vec<u8> {
    frame(kind("REFUSED"), MUST_UNDERSTAND, &[&[0, 1, 0, 1, 0][..], &text(why)].concat(), 0)
}

/// An end of the channel. By its number, because a hand-made successor finds a number in its environment.
#[derive(Debug)]
pub struct Wire(pub RawFd);

impl Wire {
    pub fn say(&self, bytes: &[u8]) {
        self.pass(bytes, &[]);
    }

    /// Bytes with descriptors. The bytes are few, so they go out at once.
    pub fn pass(&self, bytes: &[u8], descriptors: &[RawFd]) {
        let rights = [ControlMessage::ScmRights(descriptors)];
        let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
        let sent = sendmsg::<()>(self.0, &[io::IoSlice::new(bytes)], rights, MsgFlags::MSG_NOSIGNAL, None);
        assert_eq!(sent, Ok(bytes.len()));
    }

    /// The next frame's kind and payload; its descriptors are dropped. `None`: the other end is gone.
    pub fn next(&self) -> Option<(u16, Vec<u8>)> {
        let head = self.take(HEADER)?;
        let length = u32::from_le_bytes(head[4..8].try_into().expect("4 bytes"));
        Some((u16::from_le_bytes([head[0], head[1]]), self.take(length as usize)?))
    }

    /// Reads on until a frame of this name has come.
    pub fn until(&self, name: &str) -> Vec<u8> {
        loop {
            let (it, payload) = self.next().unwrap_or_else(|| panic!("the other end is gone and has not said {name}"));
            if it == kind(name) {
                return payload;
            }
        }
    }

    fn take(&self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match recv(self.0, &mut bytes[filled..], MsgFlags::empty()) {
                Ok(0) | Err(nix::errno::Errno::ECONNRESET) => return None,
                Ok(more) => filled += more,
                Err(error) => panic!("receive: {error}"),
            }
        }
        Some(bytes)
    }
}

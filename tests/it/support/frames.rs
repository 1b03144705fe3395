//! The protocol between two generations as bytes, by hand: for ends of the channel that are none of this crate's.

use std::{io, os::fd::RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::Open;

/// What a release says, as it was recorded for ever.
const RECORDED: &str = include_str!("../../../src/wire/version1.txt");

const HEADER: usize = 12;

pub const MUST_UNDERSTAND: u16 = 1;

/// The kinds of frames, by the names that they have in the protocol.
const KINDS: [(&str, u16); 22] = [
    ("HELLO", 1),
    ("SOCKETS", 2),
    ("END", 3),
    ("COMMIT", 4),
    ("ABORT", 5),
    ("LET-GO", 6),
    ("STATE", 9),
    ("FINAL-STATE", 10),
    ("FINAL-END", 11),
    ("OFFER", 12),
    ("ACCEPTED", 32),
    ("REFUSED", 33),
    ("ARRIVED", 34),
    ("EXTEND", 35),
    ("READY", 36),
    ("REPLACED", 37),
    ("STOPPING", 38),
    ("FINAL-TAKEN", 39),
    ("TAKEN", 40),
    ("DECLINED", 41),
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

pub fn final_taken() -> Vec<u8> {
    frame(kind("FINAL-TAKEN"), 0, &[], 0)
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
    able(version, &[])
}

/// ACCEPTED, by a successor that can do more than the first release could.
pub fn able(version: u16, capabilities: &[&str]) -> Vec<u8> {
    let count = (capabilities.len() as u32).to_le_bytes();
    let capabilities = capabilities.iter().flat_map(|capability| text(capability));
    let payload = version.to_le_bytes().into_iter().chain(count).chain(capabilities).collect::<Vec<_>>();
    frame(kind("ACCEPTED"), MUST_UNDERSTAND, &payload, 0)
}

/// With a reason of no special kind.
pub fn refused(why: &str) -> Vec<u8> {
    frame(kind("REFUSED"), MUST_UNDERSTAND, &[&[0, 1, 0, 1, 0][..], &text(why)].concat(), 0)
}

/// A live connection, as it is offered.
#[derive(Debug)]
pub struct Offered {
    pub id: u64,
    pub to: To,
    /// For how many milliseconds it has waited.
    pub waited: u64,
    pub read: Vec<u8>,
    pub state: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Who serves the socket of this name, and whether anything has been served on it.
    Serve(String, Begun),
    Protocol(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    Fresh = 1,
    Http1 = 2,
}

impl Offered {
    /// Between two requests, for who serves this socket.
    pub fn idle(id: u64, socket: &str) -> Self {
        let to = To::Serve(socket.to_owned(), Begun::Http1);
        Self { id, to, waited: 0, read: Vec::new(), state: Vec::new() }
    }

    fn bytes(&self) -> Vec<u8> {
        let to = match &self.to {
            To::Serve(socket, begun) => [&[1][..], &text(socket), &[*begun as u8]].concat(),
            To::Protocol(name) => [&[2][..], &text(name)].concat(),
        };
        let waited = self.waited.to_le_bytes();
        block(&[&self.id.to_le_bytes()[..], &block(&to), &waited, &block(&self.read), &block(&self.state)].concat())
    }

    fn of(bytes: &mut &[u8]) -> Self {
        let it = &mut next_block(bytes);
        let (id, mut to) = (number(it), next_block(it));
        let kind = split(&mut to, 1)[0];
        let name = next_text(&mut to);
        let to = match (kind, to) {
            (1, [1]) => To::Serve(name, Begun::Fresh),
            (1, [2]) => To::Serve(name, Begun::Http1),
            (2, []) => To::Protocol(name),
            odd => panic!("offered to {odd:?}"),
        };
        Self { id, to, waited: number(it), read: next_block(it).to_vec(), state: next_block(it).to_vec() }
    }
}

/// OFFER, with a descriptor for each.
pub fn offer(those: &[Offered]) -> Vec<u8> {
    let count = (those.len() as u32).to_le_bytes();
    let payload: Vec<u8> = count.into_iter().chain(those.iter().flat_map(Offered::bytes)).collect();
    frame(kind("OFFER"), 0, &payload, those.len() as u16)
}

pub fn taken(ids: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let ids: Vec<_> = ids.into_iter().collect();
    let count = (ids.len() as u32).to_le_bytes();
    let payload: Vec<u8> = count.into_iter().chain(ids.into_iter().flat_map(u64::to_le_bytes)).collect();
    frame(kind("TAKEN"), 0, &payload, 0)
}

/// All of them for one reason.
pub fn declined(ids: impl IntoIterator<Item = u64>, why: &str) -> Vec<u8> {
    let one = |id: u64| {
        let item = [&id.to_le_bytes()[..], &text(why)].concat();
        [&(item.len() as u16).to_le_bytes()[..], &item].concat()
    };
    let those: Vec<_> = ids.into_iter().map(one).collect();
    let payload = [&(those.len() as u32).to_le_bytes()[..], &those.concat()].concat();
    frame(kind("DECLINED"), 0, &payload, 0)
}

/// The ids in a payload of TAKEN.
pub fn taken_of(mut payload: &[u8]) -> Vec<u64> {
    (0..count(&mut payload)).map(|_| number(&mut payload)).collect()
}

/// The ids in a payload of DECLINED, and why.
pub fn declined_of(mut payload: &[u8]) -> Vec<(u64, String)> {
    let one = |payload: &mut &[u8]| {
        let length = split(payload, 2);
        let mut item = split(payload, u16::from_le_bytes([length[0], length[1]]).into());
        (number(&mut item), next_text(&mut item))
    };
    (0..count(&mut payload)).map(|_| one(&mut payload)).collect()
}

fn offers_of(mut payload: &[u8]) -> Vec<Offered> {
    (0..count(&mut payload)).map(|_| Offered::of(&mut payload)).collect()
}

fn block(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

fn split<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (first, rest) = bytes.split_at(count);
    *bytes = rest;
    first
}

fn count(bytes: &mut &[u8]) -> usize {
    u32::from_le_bytes(split(bytes, 4).try_into().expect("4 bytes")) as usize
}

fn number(bytes: &mut &[u8]) -> u64 {
    u64::from_le_bytes(split(bytes, 8).try_into().expect("8 bytes"))
}

fn next_block<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = count(bytes);
    split(bytes, length)
}

fn next_text(bytes: &mut &[u8]) -> String {
    let length = split(bytes, 2);
    let text = split(bytes, u16::from_le_bytes([length[0], length[1]]).into());
    String::from_utf8(text.to_vec()).expect("ASCII")
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
        self.receive().map(|(kind, payload, _)| (kind, payload))
    }

    /// The same, with what came beside it.
    pub fn receive(&self) -> Option<(u16, Vec<u8>, Vec<Open>)> {
        let mut descriptors = Vec::new();
        let head = self.take(HEADER, &mut descriptors)?;
        let length = u32::from_le_bytes(head[4..8].try_into().expect("4 bytes"));
        let payload = self.take(length as usize, &mut descriptors)?;
        Some((u16::from_le_bytes([head[0], head[1]]), payload, descriptors))
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

    /// Reads on until so many live connections have been offered, or a few more.
    pub fn offers(&self, many: usize) -> Vec<(Offered, Open)> {
        let mut offered = Vec::new();
        while offered.len() < many {
            let heard = self.receive();
            let (it, payload, sockets) = heard.unwrap_or_else(|| panic!("the other end is gone: {}", offered.len()));
            if it == kind("OFFER") {
                let those = offers_of(&payload);
                assert_eq!(those.len(), sockets.len(), "a descriptor for each");
                offered.extend(those.into_iter().zip(sockets));
            }
        }
        offered
    }

    fn take(&self, count: usize, descriptors: &mut Vec<Open>) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            let mut room = nix::cmsg_space!([RawFd; 253]);
            let mut rest = [io::IoSliceMut::new(&mut bytes[filled..])];
            match recvmsg::<()>(self.0, &mut rest, Some(&mut room), MsgFlags::MSG_CMSG_CLOEXEC) {
                Err(nix::errno::Errno::ECONNRESET) => return None,
                Err(error) => panic!("receive: {error}"),
                Ok(message) => {
                    for beside in message.cmsgs().expect("room for all") {
                        if let ControlMessageOwned::ScmRights(numbers) = beside {
                            descriptors.extend(numbers.into_iter().map(Open));
                        }
                    }
                    match message.bytes {
                        0 => return None,
                        more => filled += more,
                    }
                }
            }
        }
        Some(bytes)
    }
}

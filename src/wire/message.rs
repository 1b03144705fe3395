//! The messages of version 1.

use super::{
    bytes::{Malformed, Reader, Writer},
    codes::Refusal,
    frame::{HEADER, Header},
    manifest::{Hello, Socket},
    offer::Offer,
    piece::Piece,
    visit::{Answer, Want},
};
use crate::{name::Name, status::Draining};

/// All that can be said: by the predecessor, then by the successor, and the last two at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// "I am your predecessor; this is what I speak."
    Hello(Hello),
    /// Some of the sockets, each with its descriptor.
    Sockets(Vec<Socket>),
    /// That were all of them.
    End {
        sockets: u32,
    },
    /// "You are confirmed: serve."
    Commit,
    /// "I take the restart back."
    Abort {
        why: String,
    },
    /// "I have let go": after this nothing is taken back.
    LetGo,
    /// "This came to me, and is yours now": somebody who wants something, and comes as a descriptor.
    Forward(Want),
    /// "This is what those before you still wait for."
    Draining(Vec<Draining>),
    /// Before END: "this is for you, before you are ready."
    State(Piece),
    /// After LET GO: "this is for you, now that I accept nobody any more."
    FinalState(Piece),
    /// "That was all, but for what I failed to take, and why."
    FinalEnd {
        failed: Vec<(Name, String)>,
    },
    /// After FINAL END: "these connections are open: do you take them?" Each comes with its descriptor.
    Offer(Vec<Offer>),
    /// "I have all that you promised, and speak this."
    Accepted {
        version: u16,
        capabilities: Vec<String>,
    },
    /// "I can't be your successor."
    Refused {
        refusal: Refusal,
        oldest: u16,
        newest: u16,
        why: String,
    },
    /// "This many sockets have arrived": the next batch may come.
    Arrived {
        sockets: u32,
    },
    /// "I need this much longer to be ready."
    Extend {
        milliseconds: u64,
    },
    /// "I can serve, and these sockets (by their place among those passed) are mine."
    Ready {
        claimed: Vec<u32>,
    },
    /// "I was replaced in my turn": my end is not the chain's.
    Replaced {
        pid: u32,
        generation: u64,
    },
    /// "I end, and this is why": my end is no accident.
    Stopping {
        why: String,
    },
    /// "Your final state is mine": you need not live for it any more.
    FinalTaken,
    /// "These are mine." The kernel's acceptance of the whole frame is what makes them so.
    Taken(Vec<u64>),
    /// "These I do not take, and why: they are yours as before."
    Declined(Vec<(u64, String)>),
    /// "I have come to a path, and want something."
    Want(Want),
    Answer(Answer),
}

/// The kinds of frames. Numbers are never used again for something else.
mod kind {
    pub(super) const HELLO: u16 = 1;
    pub(super) const SOCKETS: u16 = 2;
    pub(super) const END: u16 = 3;
    pub(super) const COMMIT: u16 = 4;
    pub(super) const ABORT: u16 = 5;
    pub(super) const LET_GO: u16 = 6;
    pub(super) const FORWARD: u16 = 7;
    pub(super) const DRAINING: u16 = 8;
    pub(super) const STATE: u16 = 9;
    pub(super) const FINAL_STATE: u16 = 10;
    pub(super) const FINAL_END: u16 = 11;
    pub(super) const OFFER: u16 = 12;
    pub(super) const ACCEPTED: u16 = 32;
    pub(super) const REFUSED: u16 = 33;
    pub(super) const ARRIVED: u16 = 34;
    pub(super) const EXTEND: u16 = 35;
    pub(super) const READY: u16 = 36;
    pub(super) const REPLACED: u16 = 37;
    pub(super) const STOPPING: u16 = 38;
    pub(super) const FINAL_TAKEN: u16 = 39;
    pub(super) const TAKEN: u16 = 40;
    pub(super) const DECLINED: u16 = 41;
    pub(super) const WANT: u16 = 64;
    pub(super) const ANSWER: u16 = 65;
}

/// Of a reason among many, in bytes: with each name's, all fit into one frame.
const LONGEST_WHY: usize = 1024;

/// What ACCEPTED lists: whoever does is told of a final state, and answers FINAL TAKEN.
pub(crate) const FINAL_STATE: &str = "final-state";

/// What ACCEPTED lists: whoever does is offered connections, and says TAKEN or DECLINED.
pub(crate) const HAND_OVER: &str = "hand-over";

/// How many connections may be offered and not yet taken or declined. Of more, a successor declines the rest.
pub(crate) const MOST_UNDECIDED: usize = 64;

impl Message {
    /// FINAL END, with reasons that are cut where they are too long.
    pub(crate) fn final_end(mut failed: Vec<(Name, String)>) -> Self {
        failed.iter_mut().for_each(|(_, why)| cut(why));
        Self::FinalEnd { failed }
    }

    /// DECLINED, with reasons that are cut where they are too long.
    pub(crate) fn declined(mut those: Vec<(u64, String)>) -> Self {
        those.iter_mut().for_each(|(_, why)| cut(why));
        Self::Declined(those)
    }

    /// The whole frame. As many descriptors go with it as `descriptors` says.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        let (kind, must_understand) = self.encode_payload(&mut to);
        let descriptors = self.descriptors() as u16;
        let header = Header { kind, must_understand, length: to.0.len() as u32, descriptors };
        let mut frame = header.encode().to_vec();
        frame.append(&mut to.0);
        frame
    }

    /// Its name in the protocol, for logs and errors.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "HELLO",
            Self::Sockets(_) => "SOCKETS",
            Self::End { .. } => "END",
            Self::Commit => "COMMIT",
            Self::Abort { .. } => "ABORT",
            Self::LetGo => "LET GO",
            Self::Forward(_) => "FORWARD",
            Self::Draining(_) => "DRAINING",
            Self::State(_) => "STATE",
            Self::FinalState(_) => "FINAL STATE",
            Self::FinalEnd { .. } => "FINAL END",
            Self::Offer(_) => "OFFER",
            Self::Accepted { .. } => "ACCEPTED",
            Self::Refused { .. } => "REFUSED",
            Self::Arrived { .. } => "ARRIVED",
            Self::Extend { .. } => "EXTEND",
            Self::Ready { .. } => "READY",
            Self::Replaced { .. } => "REPLACED",
            Self::Stopping { .. } => "STOPPING",
            Self::FinalTaken => "FINAL TAKEN",
            Self::Taken(_) => "TAKEN",
            Self::Declined(_) => "DECLINED",
            Self::Want(_) => "WANT",
            Self::Answer(_) => "ANSWER",
        }
    }

    /// How many descriptors belong to this message.
    pub(crate) fn descriptors(&self) -> usize {
        match self {
            Self::Hello(hello) => hello.ancestors.len() + if hello.stderr { 2 } else { 0 },
            Self::Sockets(sockets) => sockets.len(),
            Self::Forward(_) => 1,
            Self::Offer(offers) => offers.len(),
            _ => 0,
        }
    }

    /// A frame's message. `None`: a kind that this version does not know and need not understand.
    pub(crate) fn decode(header: Header, payload: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(message) = Self::decode_payload(header.kind, &mut Reader(payload))? else {
            let unknown = || Malformed::new(format!("frame kind {} is unknown and must be understood", header.kind));
            return if header.must_understand { Err(unknown()) } else { Ok(None) };
        };
        // More are a later version's, who puts them last; they are closed.
        if usize::from(header.descriptors) < message.descriptors() {
            let fault = format!("{} descriptors came where {} belong", header.descriptors, message.descriptors());
            return Err(Malformed::new(fault));
        }
        Ok(Some(message))
    }

    /// Writes the fields; the kind, and whether a reader that does not know it must give up.
    fn encode_payload(&self, to: &mut Writer) -> (u16, bool) {
        match self {
            Self::Hello(hello) => {
                hello.encode(to);
                (kind::HELLO, true)
            }
            Self::Sockets(sockets) => {
                to.items(sockets, |to, socket| socket.encode(to));
                (kind::SOCKETS, true)
            }
            Self::End { sockets } => {
                to.u32(*sockets);
                (kind::END, true)
            }
            Self::Commit => (kind::COMMIT, true),
            Self::Abort { why } => {
                to.string(why);
                (kind::ABORT, true)
            }
            Self::LetGo => (kind::LET_GO, false),
            Self::Forward(want) => {
                want.encode(to);
                (kind::FORWARD, false)
            }
            Self::Draining(those) => {
                to.items(those, |to, it| it.encode(to));
                (kind::DRAINING, false)
            }
            Self::State(piece) => {
                piece.encode(to);
                (kind::STATE, false)
            }
            Self::FinalState(piece) => {
                piece.encode(to);
                (kind::FINAL_STATE, false)
            }
            Self::FinalEnd { failed } => {
                to.items(failed, |to, (name, why)| {
                    to.string(name.as_str());
                    to.string(why);
                });
                (kind::FINAL_END, false)
            }
            Self::Offer(offers) => {
                to.list(offers, |to, offer| offer.encode(to));
                (kind::OFFER, false)
            }
            Self::Accepted { version, capabilities } => {
                to.u16(*version);
                to.list(capabilities, |to, capability| to.string(capability));
                (kind::ACCEPTED, true)
            }
            Self::Refused { refusal, oldest, newest, why } => {
                to.u8(refusal.code());
                to.u16(*oldest);
                to.u16(*newest);
                to.string(why);
                (kind::REFUSED, true)
            }
            Self::Arrived { sockets } => {
                to.u32(*sockets);
                (kind::ARRIVED, true)
            }
            Self::Extend { milliseconds } => {
                to.u64(*milliseconds);
                (kind::EXTEND, false)
            }
            Self::Ready { claimed } => {
                to.list(claimed, |to, place| to.u32(*place));
                (kind::READY, true)
            }
            Self::Replaced { pid, generation } => {
                to.u32(*pid);
                to.u64(*generation);
                (kind::REPLACED, false)
            }
            Self::Stopping { why } => {
                to.string(why);
                (kind::STOPPING, false)
            }
            Self::FinalTaken => (kind::FINAL_TAKEN, false),
            Self::Taken(ids) => {
                to.list(ids, |to, id| to.u64(*id));
                (kind::TAKEN, false)
            }
            Self::Declined(those) => {
                to.items(those, |to, (id, why)| {
                    to.u64(*id);
                    to.string(why);
                });
                (kind::DECLINED, false)
            }
            Self::Want(want) => {
                want.encode(to);
                (kind::WANT, true)
            }
            Self::Answer(answer) => {
                answer.encode(to);
                (kind::ANSWER, true)
            }
        }
    }

    fn decode_payload(kind: u16, from: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            kind::HELLO => Self::Hello(Hello::decode(from)?),
            kind::SOCKETS => Self::Sockets(from.items(Socket::decode)?),
            kind::END => Self::End { sockets: from.u32()? },
            kind::COMMIT => Self::Commit,
            kind::ABORT => Self::Abort { why: from.string()? },
            kind::LET_GO => Self::LetGo,
            kind::FORWARD => Self::Forward(Want::decode(from)?),
            kind::DRAINING => Self::Draining(from.items(Draining::decode)?),
            kind::STATE => Self::State(Piece::decode(from)?),
            kind::FINAL_STATE => Self::FinalState(Piece::decode(from)?),
            kind::FINAL_END => Self::FinalEnd { failed: from.items(failure)? },
            kind::ACCEPTED => Self::Accepted { version: from.u16()?, capabilities: from.list(Reader::string)? },
            kind::REFUSED => Self::Refused {
                refusal: Refusal::of(from.u8()?),
                oldest: from.u16()?,
                newest: from.u16()?,
                why: from.string()?,
            },
            kind::ARRIVED => Self::Arrived { sockets: from.u32()? },
            kind::EXTEND => Self::Extend { milliseconds: from.u64()? },
            kind::READY => Self::Ready { claimed: from.list(Reader::u32)? },
            kind::REPLACED => Self::Replaced { pid: from.u32()?, generation: from.u64()? },
            kind::STOPPING => Self::Stopping { why: from.string()? },
            kind::FINAL_TAKEN => Self::FinalTaken,
            kind::OFFER => Self::Offer(from.list(Offer::decode)?),
            kind::TAKEN => Self::Taken(from.list(Reader::u64)?),
            kind::DECLINED => Self::Declined(from.items(|from| Ok((from.u64()?, from.string()?)))?),
            kind::WANT => Self::Want(Want::decode(from)?),
            kind::ANSWER => Self::Answer(Answer::decode(from)?),
            _ => return Ok(None),
        }))
    }
}

fn cut(why: &mut String) {
    let end = (0..=why.len().min(LONGEST_WHY)).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
    why.truncate(end);
}

fn failure(from: &mut Reader<'_>) -> Result<(Name, String), Malformed> {
    let name = Name::passed(&from.string()?).map_err(|error| Malformed::new(error.to_string()))?;
    Ok((name, from.string()?))
}

/// How many bytes are missing of the first frame, as far as can be told: of its header, then of all of it. 0: nothing is.
pub(crate) fn missing(bytes: &[u8]) -> Result<usize, Malformed> {
    let Some(head) = bytes.first_chunk::<HEADER>() else {
        return Ok(HEADER - bytes.len());
    };
    let end = HEADER + Header::decode(*head)?.length as usize;
    Ok(end.saturating_sub(bytes.len()))
}

/// Splits the first whole frame off `bytes`: its message (`None` for one to be skipped), how many descriptors it
/// has, and how many bytes it was. `Ok(None)`: more bytes are needed.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<(Option<Message>, usize, usize)>, Malformed> {
    let Some(head) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let header = Header::decode(*head)?;
    let end = HEADER + header.length as usize;
    match bytes.get(HEADER..end) {
        Some(payload) => Ok(Some((Message::decode(header, payload)?, header.descriptors.into(), end))),
        None => Ok(None),
    }
}

//! Who comes before this process: a predecessor that has spawned it, one that is found at the control path, or nobody.

use std::{io, mem, os::fd::OwnedFd, path::Path};

use crate::{
    Error, ErrorKind,
    control::{self, Allowed, Door},
    name::Name,
    process::{Inheritance, Introduction, take_over},
    sockets::{self, Address, ControlListener, Options, Registry},
    sys,
    systemd::{Activation, Environment},
    wire::{self, Wish},
};

/// What has come of it, before anything is accepted.
#[derive(Debug)]
pub(super) struct Meeting {
    pub(super) introduction: Option<Introduction>,
    pub(super) registry: Registry,
    pub(super) door: Option<Door>,
}

/// How often a path is looked at again: each time somebody else was faster, or has just ended.
const ROUNDS: usize = 8;

/// What was passed is looked at before it is accepted: after that, the predecessor counts on us.
pub(super) async fn meet(environment: &Environment, control: Option<(&Path, &Allowed)>) -> Result<Meeting, Error> {
    let (spawned, activated) = inherit(environment).await?;
    let mut meeting = match (spawned, control) {
        (None, Some((path, allowed))) => at_path(path, allowed).await?,
        (introduction, _) => Meeting::with(introduction, control).await.map_err(Failure::into_error)?,
    };
    meeting.registry.activate(activated);
    Ok(meeting)
}

/// What the environment names: a predecessor's channel, and descriptors that somebody has opened for this process. Numbers
/// become owned descriptors once in a process.
async fn inherit(environment: &Environment) -> Result<(Option<Introduction>, Vec<(String, OwnedFd)>), Error> {
    let (inheritance, activation) = (Inheritance::named(), Activation::of(environment));
    if inheritance.is_none() && activation.is_none() {
        return Ok((None, Vec::new()));
    }
    if !sys::take_once() {
        crate::log::warn!(
            "what was passed to this process was taken by an earlier handle: this one starts as generation 0"
        );
        return Ok((None, Vec::new()));
    }
    // The channel first: being close-on-exec by then, it is not mistaken for one of the others.
    let introduction = match inheritance {
        Some(inheritance) => inheritance.take().await?,
        None => None,
    };
    Ok((introduction, activation.map(Activation::take).unwrap_or_default()))
}

/// Two that start at once find nobody; one of them binds the path, and then the other one finds it there. And whoever is
/// found may end before it has said anything: then it is as if nobody had been there.
async fn at_path(path: &Path, allowed: &Allowed) -> Result<Meeting, Error> {
    let mut round = 0;
    loop {
        round += 1;
        let introduction = match control::call(path, Wish::TakeOver, allowed).await? {
            Some(channel) => match take_over(channel).await {
                Err(error) if error.kind() == ErrorKind::ChannelClosed && round < ROUNDS => {
                    crate::log::info!(%error, "who was found has ended: looking again");
                    continue;
                }
                introduction => Some(introduction?),
            },
            None => None,
        };
        match Meeting::with(introduction, Some((path, allowed))).await {
            Err(Failure::InUse(error)) if round < ROUNDS => {
                crate::log::info!(%error, "somebody else was faster: looking again");
                sockets::until_bound(path).await;
            }
            outcome => return outcome.map_err(Failure::into_error),
        }
    }
}

enum Failure {
    /// Nobody was at the path, and now somebody is.
    InUse(Error),
    Other(Error),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::InUse(error) | Self::Other(error) => error,
        }
    }
}

impl Meeting {
    async fn with(mut introduction: Option<Introduction>, control: Option<(&Path, &Allowed)>) -> Result<Self, Failure> {
        let passed = introduction.as_mut().map(|it| mem::take(&mut it.sockets)).unwrap_or_default();
        let opened = open(passed, control).await;
        match (opened, introduction) {
            (Ok((registry, door)), introduction) => Ok(Self { introduction, registry, door }),
            (Err(error), Some(introduction)) => {
                introduction.answer.refuse(&error).await;
                Err(Failure::Other(error))
            }
            (Err(error), None) if error.io_kind() == Some(io::ErrorKind::AddrInUse) => Err(Failure::InUse(error)),
            (Err(error), None) => Err(Failure::Other(error)),
        }
    }
}

async fn open(
    passed: Vec<(wire::Socket, OwnedFd)>,
    control: Option<(&Path, &Allowed)>,
) -> Result<(Registry, Option<Door>), Error> {
    let mut registry = Registry::inherit(sockets::verify(passed)?);
    let door = match control {
        Some((path, allowed)) => {
            let failed =
                |error| Error::io(ErrorKind::Socket, format!("find the control path {}", path.display()), error);
            let asked = <ControlListener as Address<&Path>>::resolve(path).await.map_err(failed)?;
            // Whoever is named has to get as far as our check of the peer's user, which is what protects: it is made
            // before anything is read.
            let mode = allowed.names_others().then_some(0o666);
            let mut options = Options { mode, ..Options::default() };
            let listener = registry.listen::<ControlListener, &Path>(&Name::control(), &asked, &mut options)?;
            Some(Door::new(listener.into_inner(), allowed.clone()))
        }
        None => None,
    };
    Ok((registry, door))
}

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    time::Duration,
};

use tokio::time::timeout;

use super::{Allowed, connect::connect};
use crate::{
    Error, ErrorKind, Successor,
    channel::Channel,
    status::Status,
    sys,
    wire::{Answer, Message, Want, Wish},
};

/// For how long a full queue is waited for.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);

/// For how long a server may take to say how it is: it has nothing to wait for.
const STATUS_DEADLINE: Duration = Duration::from_secs(10);

/// What a server can be asked for. More may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Request {
    /// To replace itself by a successor, and to tell how that went.
    Restart,
    /// To tell how it is.
    Status,
    /// To end without a successor, and to tell how its drain went.
    Stop,
}

/// What a server has answered. More may come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// The successor serves.
    Replaced(Successor),
    /// How it is.
    Status(Box<Status>),
    /// Its drain is over, and it ends.
    Stopped(Stopped),
}

/// How a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// What the drain's report gives as exit code: 0 if nothing was cut.
    pub code: u8,
    /// The report as a sentence.
    pub report: String,
}

/// Restarts the server at a control path. When this returns, the successor serves.
///
/// # Errors
///
/// As [`ask`]; and why the restart failed, with its kind, exit status and last words, as `Graceful::restart` tells it:
/// then the old generation serves on.
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time.
///
/// # Cancel safety
///
/// Dropping the future gives up the answer: what was asked for goes on.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// match tokio_hotrestart::control::restart("/run/server.control").await {
///     Ok(successor) => println!("{successor} serves"),
///     Err(error) => println!("{:?}: {error}", error.kind()),
/// }
/// # }
/// ```
pub async fn restart(path: impl AsRef<Path>) -> Result<Successor, Error> {
    let path = path.as_ref();
    match ask(path, Request::Restart).await? {
        Reply::Replaced(by) => Ok(by),
        _ => Err(beside_the_point(path)),
    }
}

/// How the server at a control path is.
///
/// # Errors
///
/// As [`ask`].
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time.
///
/// # Cancel safety
///
/// Nothing is lost.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
/// let status = tokio_hotrestart::control::status("/run/server.control").await?;
/// println!("generation {} is {}", status.generation, status.state);
/// # Ok(()) }
/// ```
pub async fn status(path: impl AsRef<Path>) -> Result<Status, Error> {
    let path = path.as_ref();
    match ask(path, Request::Status).await? {
        Reply::Status(status) => Ok(*status),
        _ => Err(beside_the_point(path)),
    }
}

/// Stops the server at a control path. When this returns, its drain is over.
///
/// # Errors
///
/// As [`ask`].
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time.
///
/// # Cancel safety
///
/// Dropping the future gives up the answer: what was asked for goes on.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
/// let stopped = tokio_hotrestart::control::stop("/run/server.control").await?;
/// println!("{}", stopped.report);
/// # Ok(()) }
/// ```
pub async fn stop(path: impl AsRef<Path>) -> Result<Stopped, Error> {
    let path = path.as_ref();
    match ask(path, Request::Stop).await? {
        Reply::Stopped(stopped) => Ok(stopped),
        _ => Err(beside_the_point(path)),
    }
}

/// Asks the server at a control path for something, and waits for the answer: what [`restart`], [`status`] and [`stop`]
/// are made of.
///
/// The answer comes over the connection that was made, so it outlives a restart; a generation that drains passes the
/// question on to the newest. A path that begins with `@` is an abstract name.
///
/// A restart and a stop last as long as the server's own deadlines let them (`ready_deadline`, the drain's deadline), and
/// for ever if it hangs: put [`tokio::time::timeout`] around them where that is too long.
///
/// # Errors
///
/// | kind | why |
/// |---|---|
/// | [`Nobody`](ErrorKind::Nobody) | nothing listens at that path |
/// | [`Denied`](ErrorKind::Denied) | the server does not answer this user; or it runs as another user than this process, root, and the owner of the directory in which the path lies (an abstract name lies in none), so that it may be a stranger |
/// | [`ChannelClosed`](ErrorKind::ChannelClosed) | the server ended without an answer |
/// | [`Deadline`](ErrorKind::Deadline) | no status within 10 s, or no place in the path's queue within 5 s |
/// | [`Protocol`](ErrorKind::Protocol), [`Torn`](ErrorKind::Torn), [`Version`](ErrorKind::Version) | something else listens there, or a release that speaks otherwise |
/// | [`Socket`](ErrorKind::Socket) | the path can't be connected to for another reason |
/// | any other | the server's own answer |
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time.
///
/// # Cancel safety
///
/// Dropping the future gives up the answer: what was asked for goes on.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
/// use tokio_hotrestart::control::{self, Reply, Request};
///
/// match control::ask("/run/server.control", Request::Restart).await? {
///     Reply::Replaced(successor) => println!("{successor} serves"),
///     other => println!("{other:?}"),
/// }
/// # Ok(()) }
/// ```
pub async fn ask(path: impl AsRef<Path>, request: Request) -> Result<Reply, Error> {
    let path = path.as_ref();
    let wish = match request {
        Request::Restart => Wish::Restart,
        Request::Status => Wish::Status,
        Request::Stop => Wish::Stop,
    };
    let Some(channel) = call(path, wish, &trusted_at(path)).await? else {
        return Err(Error::new(ErrorKind::Nobody, format!("nobody listens at {}", path.display())));
    };
    let answer = answer(path, channel);
    match request {
        Request::Status => timeout(STATUS_DEADLINE, answer).await.unwrap_or_else(|_elapsed| {
            let what = format!("the server at {} did not answer within {STATUS_DEADLINE:?}", path.display());
            Err(Error::new(ErrorKind::Deadline, what))
        }),
        Request::Restart | Request::Stop => answer.await,
    }
}

/// Connects, looks who is there, and says what is wanted. `Ok(None)`: nobody is there, not even where a path was left
/// behind.
pub(crate) async fn call(path: &Path, wish: Wish, allowed: &Allowed) -> Result<Option<Channel>, Error> {
    let at = path.display();
    let failed = |kind, error| Error::io(kind, format!("connect to {at}"), error);
    let socket = match connect(path, QUEUE_PATIENCE).await {
        Ok(Some(socket)) => socket,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let what = format!("the queue of the server at {at} stayed full for {QUEUE_PATIENCE:?}");
            return Err(Error::new(ErrorKind::Deadline, what));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(failed(ErrorKind::Denied, error));
        }
        Err(error) => return Err(failed(ErrorKind::Socket, error)),
    };
    let peer = sys::peer(&socket).map_err(|error| failed(ErrorKind::Socket, error))?;
    if !allowed.admits(peer) {
        let what = format!("user {} listens at {at}, who is not trusted", peer.uid);
        return Err(Error::new(ErrorKind::Denied, what));
    }
    let mut channel = Channel::new(socket).map_err(|error| failed(ErrorKind::Socket, error))?;
    channel.say(&Message::Want(Want::ours(wish)), Vec::new());
    Ok(Some(channel))
}

/// Whoever named the path trusts the owner of the directory in which it lies, who decides what lies there. So an operator
/// can ask a server of another user's, and yet nobody can lie in wait for him in a directory such as `/tmp`.
fn trusted_at(path: &Path) -> Allowed {
    // A directory that can't be looked at has no path in it to be connected to either.
    Allowed::new(directory_of(path).and_then(|place| fs::metadata(place).ok()).map(|found| found.uid()))
}

/// `None` for an abstract name, which lies nowhere: anybody may have taken it, and the owner of the working directory has
/// no say in that.
fn directory_of(path: &Path) -> Option<&Path> {
    if path.as_os_str().as_bytes().starts_with(b"@") {
        return None;
    }
    let place = path.parent()?;
    Some(if place.as_os_str().is_empty() { Path::new(".") } else { place })
}

/// What a server says to what was asked.
pub(crate) async fn answer(path: &Path, mut channel: Channel) -> Result<Reply, Error> {
    let of = |error: Error| Error::new(error.kind(), format!("the server at {}: {}", path.display(), error.message()));
    match channel.next().await.map_err(of)? {
        Some((Message::Answer(Answer::Replaced(by)), _)) => Ok(Reply::Replaced(by)),
        Some((Message::Answer(Answer::Status(status)), _)) => Ok(Reply::Status(status)),
        Some((Message::Answer(Answer::Stopped { code, report }), _)) => Ok(Reply::Stopped(Stopped { code, report })),
        Some((Message::Answer(Answer::Failed(error)), _)) => Err(error),
        Some(_) => Err(beside_the_point(path)),
        None => {
            let what = format!("the server at {} ended without an answer", path.display());
            Err(Error::new(ErrorKind::ChannelClosed, what))
        }
    }
}

fn beside_the_point(path: &Path) -> Error {
    let what = format!("the server at {} said something that is no answer to what was asked", path.display());
    Error::new(ErrorKind::Protocol, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abstract_name_lies_in_no_directory_whose_owner_could_be_trusted() {
        assert_eq!(directory_of(Path::new("@server")), None);
        assert_eq!(directory_of(Path::new("@run/server")), None);
        assert_eq!(directory_of(Path::new("server")), Some(Path::new(".")));
        assert_eq!(directory_of(Path::new("./@server")), Some(Path::new(".")));
        assert_eq!(directory_of(Path::new("/run/server")), Some(Path::new("/run")));
        assert_eq!(directory_of(Path::new("/")), None);
    }
}

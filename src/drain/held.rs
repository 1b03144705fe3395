use std::fmt;

/// A connection, and what is to be done before it is closed.
pub(super) struct Held<Io> {
    /// `None` while somebody has taken it.
    io: Option<Io>,
    last: Option<fn(&Io)>,
}

impl<Io> Held<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self { io: Some(io), last: None }
    }

    pub(super) fn before_close(&mut self, last: fn(&Io)) {
        self.last = Some(last);
    }

    #[inline]
    pub(super) fn get(&self) -> &Io {
        self.io.as_ref().expect(IS_HERE)
    }

    #[inline]
    pub(super) fn get_mut(&mut self) -> &mut Io {
        self.io.as_mut().expect(IS_HERE)
    }

    pub(super) fn take(&mut self) -> Io {
        self.io.take().expect(IS_HERE)
    }

    pub(super) fn put(&mut self, io: Io) {
        self.io = Some(io);
    }
}

const IS_HERE: &str = "who takes the connection has no `Tracked` any more";

impl<Io> Drop for Held<Io> {
    fn drop(&mut self) {
        if let (Some(io), Some(last)) = (&self.io, self.last) {
            last(io);
        }
    }
}

impl<Io: fmt::Debug> fmt::Debug for Held<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.io {
            Some(io) => io.fmt(f),
            None => f.write_str("elsewhere"),
        }
    }
}

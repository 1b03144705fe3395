/// Whether the reactor is asked first.
#[derive(Clone, Copy)]
pub(super) enum Read {
    WhenReady,
    Now,
}

//! The application's own doings at the moments of a restart and of an end.

use super::{Graceful, handle::ask, shared::Ask};
use crate::hooks::Hook;

impl Graceful {
    /// Does this at its moment, after what was registered for it before. See [`hooks`](crate::hooks).
    ///
    /// A hook for a moment that has begun already waits for the next such, if there is one in a process's life; but
    /// [`Hook::after_predecessor`] runs at once. So register hooks before [`ready`](Self::ready): from there on a restart may
    /// come.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tokio_hotrestart::Error> {
    /// use tokio_hotrestart::{Graceful, hooks::Hook};
    ///
    /// let graceful = Graceful::detached();
    /// let (told, hears) = std::sync::mpsc::channel();
    /// graceful.hook(Hook::at_exit("farewell", move || {
    ///     let told = told.clone();
    ///     async move { told.send("everything is drained") }
    /// }));
    /// graceful.ready().await?;
    /// graceful.stop();
    /// assert!(graceful.drain().await.is_clean());
    /// assert_eq!(hears.try_recv(), Ok("everything is drained"));
    /// # Ok(()) }
    /// ```
    pub fn hook(&self, hook: Hook) {
        self.shared.hooks().add(hook);
        // The moment of one that runs at once if it comes late is the loop's to know.
        ask(&self.shared, Ask::Hooked);
    }
}

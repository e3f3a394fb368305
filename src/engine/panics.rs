//! A panic in a stage is a failure of that stage, with its message and place.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Who watches a thread: a number that is the watcher's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    /// The watcher.
    pub id: u64,
    /// Whether the panic is also printed as usual, with a backtrace where wanted.
    pub print: bool,
}

thread_local! {
    static WATCH: Cell<Option<Watch>> = const { Cell::new(None) };
}

/// First panic of each watcher since it last looked.
static PANICS: Mutex<Option<HashMap<u64, String>>> = Mutex::new(None);

/// Lets `watch` see panics of this thread from now on.
pub(super) fn watch_thread(watch: Watch) {
    WATCH.set(Some(watch));
}

/// Who watches this thread.
pub(super) fn watching() -> Option<Watch> {
    WATCH.get()
}

/// Runs `f`; a panic becomes its message and place. The place is known for panics of this thread
/// and of those that the same watcher watches.
pub(super) fn catch<T>(watch: Watch, f: impl FnOnce() -> T) -> Result<T, String> {
    install();
    let before = WATCH.replace(Some(watch));
    // The caller drops everything that a panic may have left half-done: the attempt's folder.
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    WATCH.set(before);
    let seen = panics().as_mut().and_then(|seen| seen.remove(&watch.id));
    result.map_err(|payload| seen.unwrap_or_else(|| message(payload.as_ref())))
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let Some(watch) = WATCH.get() else {
                return previous(info);
            };
            let mut text = message(info.payload());
            if let Some(place) = info.location() {
                text.push_str(&format!(" (at {}:{})", place.file(), place.line()));
            }
            panics()
                .get_or_insert_default()
                .entry(watch.id)
                .or_insert(text);
            if watch.print {
                previous(info);
            }
        }));
    });
}

fn panics() -> MutexGuard<'static, Option<HashMap<u64, String>>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_keeps_its_message_and_place() {
        let watch = Watch {
            id: u64::MAX,
            print: false,
        };
        let text = catch(watch, || panic!("no {}", "way")).unwrap_err();
        assert!(text.starts_with("panicked: no way (at "), "{text}");
        assert!(text.contains("panics.rs:"), "{text}");
        assert_eq!(catch(watch, || 3), Ok(3));
        let threaded = catch(watch, || {
            let thread = std::thread::spawn(move || {
                watch_thread(watch);
                panic!("elsewhere")
            });
            let Err(payload) = thread.join();
            panic::resume_unwind(payload)
        });
        let text = threaded.unwrap_err();
        assert!(text.starts_with("panicked: elsewhere (at "), "{text}");
    }
}

//! Work that Ctrl-C may leave. The work goes on in its own thread until the program ends, which is at once.

use crate::exit::Code;
use crate::failure::Failure;
use tokio::runtime::{Builder, Runtime};

/// # Errors
/// The runtime cannot be made.
pub fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Code::Internal, format!("Cannot start: {e}.")))
}

/// The work's result, or [`Code::Interrupted`] with `said` as the sentence.
///
/// # Errors
/// Those of the work; interruption.
pub fn unless_interrupted<T: Send + 'static>(
    said: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        tokio::select! {
            done = tokio::task::spawn_blocking(work) => match done {
                Ok(result) => result,
                Err(error) => Err(Failure::new(Code::Internal, format!("Cannot go on: {error}."))),
            },
            _ = tokio::signal::ctrl_c() => Err(Failure::new(Code::Interrupted, said)),
        }
    });
    runtime.shutdown_background();
    result
}

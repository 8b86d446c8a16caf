//! How many heaps ("arenas") the C library keeps.
//!
//! glibc gives threads heaps of their own, up to eight for each core, and each keeps what its busiest moment took: a
//! backlog of seven days takes 330 MiB with sixteen of them and 205 with two. The number is read before `main`, so
//! the program begins once more in the same process, with the variable set. Whoever sets it is obeyed.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

const VARIABLE: &str = "MALLOC_ARENA_MAX";
/// Two for the two threads that allocate at a time on a small machine.
const MOST: &str = "2";
/// The newer way to say so.
const TUNABLES: &str = "GLIBC_TUNABLES";

/// Begins once more with few heaps, or does nothing: if the environment says how many there are to be, if the C
/// library is another one, or if the program cannot be found. To be called before anything is open.
pub(crate) fn limit() {
    let is_said = env::var_os(VARIABLE).is_some()
        || env::var(TUNABLES).is_ok_and(|tunables| tunables.contains("malloc.arena_max"));
    if is_said || !cfg!(target_env = "gnu") {
        return;
    }
    let mut arguments = env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), env::current_exe()) else {
        return;
    };
    // It comes back only if it failed, and everything works with more heaps, too.
    let _failed = Command::new(program)
        .arg0(name)
        .args(arguments)
        .env(VARIABLE, MOST)
        .exec();
}

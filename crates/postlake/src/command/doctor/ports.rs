//! Whether the listeners can be opened, and who has them if not.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use super::Finding;
use crate::config::Settings;

pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    [
        ("ingest.listen", settings.ingest_listen),
        ("read.listen", settings.read_listen),
        ("admin.listen", settings.admin_listen),
    ]
    .map(|(key, address)| port(key, address))
    .into()
}

fn port(key: &str, address: SocketAddr) -> Finding {
    let finding = |found: String| Finding::ok("port", format!("{key} {address}"), found);
    match TcpListener::bind(address) {
        Ok(_) => finding("is free".to_owned()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match holder(address.port()) {
            Some((id, name)) if name == "postlake" => {
                finding(format!("is held by a running postlake (process {id})"))
            }
            Some((id, name)) => finding(format!("is held by {name} (process {id})"))
                .fail(format!("stop it, or set another {key}")),
            None => finding("is held by a process of another user".to_owned()).fail(format!(
                "`ss -ltnp` as root says by which; stop it, or set another {key}"
            )),
        },
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            finding("may not be opened by this user".to_owned()).fail(
                "use the socket unit of deploy/systemd, or grant CAP_NET_BIND_SERVICE; never run as root",
            )
        }
        Err(error) => finding(format!("cannot be opened: {error}"))
            .fail(format!("set {key} to an address of this machine")),
    }
}

/// Process and name of who listens on a port; only our own processes can be looked into.
fn holder(port: u16) -> Option<(u32, String)> {
    let socket = format!("socket:[{}]", listening_inode(port)?);
    let processes = fs::read_dir("/proc").ok()?;
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    for id in ids {
        let Ok(files) = fs::read_dir(format!("/proc/{id}/fd")) else {
            continue;
        };
        let holds = files.filter_map(Result::ok).any(|file| {
            fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket.as_str())
        });
        if holds {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
            return Some((id, name.trim().to_owned()));
        }
    }
    None
}

fn listening_inode(port: u16) -> Option<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| {
            let table = fs::read_to_string(table).ok()?;
            table.lines().find_map(|line| inode_of(line, port))
        })
}

/// The inode in a line of the table, if that socket listens on the port. Fields: number, local
/// address, remote address, state (`0A` listens), queues, timer, retransmits, user, timeout, inode.
fn inode_of(line: &str, port: u16) -> Option<String> {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?.rsplit_once(':')?.1;
    let state = fields.nth(1)?;
    let listens = state == "0A" && u16::from_str_radix(local, 16).ok()? == port;
    listens.then(|| fields.nth(5).map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (id, _) = holder(address.port()).unwrap();
        assert_eq!(id, std::process::id());
        assert_eq!(port("x", address).level, super::super::Level::Fail);
    }
}

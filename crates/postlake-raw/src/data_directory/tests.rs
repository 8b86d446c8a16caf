use std::fs;
use std::sync::Arc;

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempfile::TempDir;

use super::*;
use crate::{
    DurableDirectory, LandCause, LandErrorKind, RawStore, SegmentKey, SegmentNumber, StreamName,
};

const MIB: u64 = 1024 * 1024;

struct Home {
    above: TempDir,
    directory: Arc<DataDirectory>,
    store: Arc<dyn ObjectStore>,
}

impl Home {
    fn new() -> Home {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("data");
        fs::create_dir(&path).unwrap();
        let directory = Arc::new(DataDirectory::open(&path).unwrap());
        let inner = Arc::new(DurableDirectory::open(&path).unwrap());
        let store = Arc::new(Guarded::new(inner, Arc::clone(&directory)));
        Home {
            above,
            directory,
            store,
        }
    }

    fn path(&self) -> PathBuf {
        self.above.path().join("data")
    }

    fn elsewhere(&self) -> PathBuf {
        self.above.path().join("elsewhere")
    }
}

fn key(number: u64) -> SegmentKey {
    let time = chrono::DateTime::UNIX_EPOCH;
    let number = SegmentNumber::new(number).unwrap();
    SegmentKey::new(StreamName::from_parts(time, 1), number)
}

async fn land(raw: &RawStore, number: u64) -> Result<(), (LandErrorKind, LandCause)> {
    raw.land(&key(number), "bytes".into())
        .await
        .map_err(|error| (error.kind(), error.cause()))
}

#[tokio::test]
async fn a_directory_that_vanishes_is_not_made_anew_and_is_known_when_it_returns() {
    let home = Home::new();
    let raw = RawStore::new(Arc::clone(&home.store));
    land(&raw, 1).await.unwrap();

    let away = Err((LandErrorKind::Refused, LandCause::Away));
    fs::rename(home.path(), home.elsewhere()).unwrap();
    assert_eq!(land(&raw, 2).await, away);
    assert!(!home.path().exists());
    assert!(raw.dates().await.is_err());

    // Nor does an empty one do, as when a disk is not mounted.
    fs::create_dir(home.path()).unwrap();
    assert_eq!(land(&raw, 2).await, away);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);

    // Nor another one with a mark of its own.
    DataDirectory::open(&home.path()).unwrap();
    assert_eq!(land(&raw, 2).await, away);

    fs::remove_dir_all(home.path()).unwrap();
    fs::rename(home.elsewhere(), home.path()).unwrap();
    land(&raw, 2).await.unwrap();
    assert_eq!(raw.dates().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_copy_with_the_mark_is_the_same_directory() {
    let home = Home::new();
    let mark = fs::read(home.path().join(MARK_FILE)).unwrap();
    fs::rename(home.path(), home.elsewhere()).unwrap();
    fs::create_dir(home.path()).unwrap();
    fs::write(home.path().join(MARK_FILE), mark).unwrap();
    home.directory.check().unwrap();
    let again = DataDirectory::open(&home.path()).unwrap();
    assert_eq!(again.mark, home.directory.mark);
}

#[tokio::test]
async fn a_put_that_ended_in_a_stray_directory_is_not_a_success() {
    let home = Home::new();
    let path = ObjectPath::from("a/b");
    let guarded = Guarded::new(Arc::clone(&home.store), Arc::clone(&home.directory));
    guarded.put(&path, "bytes".into()).await.unwrap();
    fs::rename(home.path(), home.elsewhere()).unwrap();
    let error = guarded.check_after().await.unwrap_err();
    assert!(!crate::store::was_turned_back(&error), "{error}");
    let error = guarded.check().await.unwrap_err();
    assert!(crate::store::was_turned_back(&error), "{error}");
}

#[test]
fn a_place_without_a_directory_is_an_error() {
    let above = tempfile::tempdir().unwrap();
    let file = above.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(DataDirectory::open(&file).is_err());
    assert!(DataDirectory::open(&above.path().join("none")).is_err());
    assert!(free_space(above.path()).unwrap().total_bytes > 0);
}

#[test]
fn the_reserve_is_given_up_in_pieces_and_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let reserve = Reserve::open(directory.path(), 2 * MIB).unwrap();
    assert_eq!((reserve.kept_bytes(), reserve.give(1)), (0, false));
    assert!(!reserve.refill(3 * MIB - 1, MIB).unwrap());
    assert_eq!(reserve.kept_bytes(), 0);
    assert!(reserve.refill(3 * MIB, MIB).unwrap());
    assert_eq!(reserve.kept_bytes(), 2 * MIB);

    assert!(reserve.give(1));
    assert_eq!(reserve.kept_bytes(), 2 * MIB - 256 * 1024);
    assert!(reserve.give(MIB));
    assert!(reserve.give(MIB));
    assert_eq!((reserve.kept_bytes(), reserve.give(1)), (0, false));
    assert!(reserve.refill(u64::MAX, 0).unwrap());

    let shorter = Reserve::open(directory.path(), MIB).unwrap();
    assert_eq!(shorter.kept_bytes(), 2 * MIB);
    assert!(shorter.refill(0, 0).unwrap());
    assert_eq!(shorter.kept_bytes(), MIB);
}

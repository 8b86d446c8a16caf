//! Passes while others rewrite the files of the lake.

use std::collections::BTreeMap;

use postlake_lake::{Job, LakeTable, Onto, Passed};

use super::*;

async fn rewrite(table: &mut LakeTable, job: Job) {
    let files = table.stored_files().unwrap();
    let mut rewrite = table.begin_rewrite(job).unwrap();
    match job {
        Job::Retain => files.iter().for_each(|file| rewrite.remove(file)),
        _ => {
            let mut keep = |rows| Ok(Passed::kept(rows));
            rewrite.pass(&files, None, &mut keep).await.unwrap();
        }
    }
    let nothing = BTreeMap::new();
    let committed = table.commit_rewrite(rewrite, &nothing, Onto::OtherRows);
    committed.await.unwrap();
}

#[tokio::test]
async fn rewritten_and_removed_files_turn_no_loader_back() {
    let mut world = World::new();
    let mut loader = world.loader();
    for ids in [[1, 2], [3, 4]] {
        world.land(&[&body(&ids.map(event))]).await;
        loader.pass().await.unwrap();
    }
    for table in Table::ALL {
        let mut table = world.lake.table(table).await.unwrap().unwrap();
        rewrite(&mut table, Job::Compact).await;
    }
    world.land(&[&body(&[4, 5].map(event))]).await;
    let report = loader.pass().await.unwrap();
    assert_eq!((report.events, report.duplicates), (1, 1));
    world.books_balance().await;
    assert_eq!(world.counts().await, [5, 0, 0, 3]);
    // Rows that went are remembered by who has loaded them: a resend stays a duplicate.
    let mut events = world.lake.table(Table::Events).await.unwrap().unwrap();
    rewrite(&mut events, Job::Retain).await;
    world.land(&[&body(&[5, 6].map(event))]).await;
    let report = loader.pass().await.unwrap();
    assert_eq!((report.events, report.duplicates), (1, 1));
    assert_eq!(world.counts().await, [1, 0, 0, 4]);
    // Another loader finds what there is.
    world.land(&[&body(&[6, 7].map(event))]).await;
    let report = world.loader().pass().await.unwrap();
    assert_eq!((report.events, report.duplicates), (1, 1));
}

use super::*;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pgcdc-files-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn appends_keep_their_order_and_overlapping_syncs_all_answer() {
    let folder = folder("order");
    let file = File::open(folder.join("a")).await.unwrap();
    let work = (0..200).map(|n| {
        let file = file.clone();
        async move {
            file.append(vec![Bytes::from(format!("{n}\n"))]).await.unwrap();
            file.sync().await.unwrap();
        }
    });
    futures_util::future::join_all(work).await;
    let content = String::from_utf8(file.read(1 << 20).await.unwrap()).unwrap();
    let lines: Vec<u32> = content.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(lines, (0..200).collect::<Vec<_>>());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn rotation_shifts_and_forgets() {
    let folder = folder("rotate");
    let file = File::open(folder.join("a")).await.unwrap();
    for n in 0..4 {
        file.append(vec![Bytes::from(format!("{n}"))]).await.unwrap();
        file.rotate(2).await.unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    assert_eq!(read("a").as_deref(), Some(""));
    assert_eq!(read("a.1").as_deref(), Some("3"));
    assert_eq!(read("a.2").as_deref(), Some("2"));
    assert_eq!(read("a.3"), None);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_full_device_breaks_the_file_for_good() {
    let file = File::open("/dev/full".into()).await.unwrap();
    assert!(matches!(file.append(vec![Bytes::from_static(b"x")]).await, Err(Error::Io { .. })));
    assert!(matches!(file.append(vec![Bytes::from_static(b"x")]).await, Err(Error::Broken(_))));
    assert!(matches!(file.sync().await, Err(Error::Broken(_))));
}

#[tokio::test]
async fn a_torn_record_is_cut_off() {
    let folder = folder("mend");
    let path = folder.join("a");
    let long = "x".repeat(200_000);
    for (before, after) in [
        ("", ""),
        ("a\n", "a\n"),
        ("a\nb", "a\n"),
        ("b", ""),
        (&*format!("{long}\n{long}"), &*format!("{long}\n")),
    ] {
        std::fs::write(&path, before).unwrap();
        let file = File::open(path.clone()).await.unwrap();
        assert_eq!(file.mend(b'\n').await.unwrap(), after.len() as u64);
        file.append(vec![Bytes::from_static(b"c\n")]).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{after}c\n"));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

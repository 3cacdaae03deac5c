use futures_util::stream;
use proptest::prelude::*;

use super::*;

type Form = Vec<(String, Option<String>, Vec<u8>)>;

/// Reads a form that arrives in these chunks.
async fn read(boundary: &str, chunks: Vec<Bytes>) -> Result<Form, MultipartError> {
    let content_type = format!("multipart/form-data; boundary={boundary}");
    let mut form = Multipart::new(content_type.as_bytes(), stream::iter(chunks.into_iter().map(Ok)))?;
    let mut parts = Vec::new();
    while let Some(Part { name, file_name }) = form.next_part().await? {
        let mut body = Vec::new();
        while let Some(chunk) = form.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        parts.push((name, file_name, body));
    }
    Ok(parts)
}

fn part(name: &str, body: &[u8]) -> Vec<u8> {
    [format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n").as_bytes(), body].concat()
}

/// The bodies of a form, or the error.
async fn bodies(form: &[u8]) -> Result<Vec<String>, String> {
    let form = read("b", vec![Bytes::copy_from_slice(form)]).await.map_err(|error| error.to_string())?;
    Ok(form.into_iter().map(|(_, _, body)| String::from_utf8_lossy(&body).into_owned()).collect())
}

#[tokio::test]
async fn preambles_epilogues_and_spaces_after_a_boundary_are_skipped() {
    let (a, c) = (part("a", b"1"), part("c", b""));
    for (before, after, end) in [
        (&b"--b\r\n"[..], &b"\r\n--b\r\n"[..], &b"\r\n--b--"[..]),
        (b"\r\n--b\r\n", b"\r\n--b\r\n", b"\r\n--b--\r\n"),
        (b"--b \t\r\n", b"\r\n--b  \r\n", b"\r\n--b-- \r\n"),
        (b"This is a form.\r\n--c\r\n--b\r\n", b"\r\n--b\r\n", b"\r\n--b--\r\nend\r\n--b\r\n"),
    ] {
        let form = [before, &a, after, &c, end].concat();
        assert_eq!(bodies(&form).await, Ok(vec!["1".to_owned(), String::new()]), "{}", String::from_utf8_lossy(&form));
    }
}

#[tokio::test]
async fn text_like_a_boundary_is_content() {
    for content in ["--b", "\r\n--", "\r\n--bc", "\r\n--b -", "\r\n-- b\r\n", "\n--b\r\n", "\r\r\n\r\n--B\r\n"] {
        let form = [b"--b\r\n", &part("a", content.as_bytes())[..], b"\r\n--b--"].concat();
        assert_eq!(bodies(&form).await, Ok(vec![content.to_owned()]));
    }
}

#[tokio::test]
async fn a_form_without_its_end_is_refused() {
    let whole = [b"--b\r\n", &part("a", b"1")[..], b"\r\n--b--"].concat();
    for end in 0..whole.len() {
        assert_eq!(bodies(&whole[..end]).await, Err("it ends before its last boundary".to_owned()), "{end}");
    }
    assert_eq!(bodies(b"--b--").await, Ok(Vec::new()));
}

#[tokio::test]
async fn headers_are_limited_and_must_have_a_name() {
    let long = format!("--b\r\nX: {}", "x".repeat(MAX_HEADER_BYTES));
    for end in ["", "\r\n\r\n"] {
        let error = bodies(format!("{long}{end}").as_bytes()).await.unwrap_err();
        assert!(error.contains("8192 bytes"), "{error}");
    }
    let error = bodies(b"--b\r\n\r\n1\r\n--b--").await.unwrap_err();
    assert_eq!(error, "a part has no Content-Disposition with a name");
}

#[tokio::test]
async fn the_limits_are_the_same_in_whatever_chunks_a_form_arrives() {
    let headers = |length: usize| {
        let part = part("a", b"");
        let filler = "x".repeat(length - (part.len() - LINE_BREAK.len()) - "X: \r\n".len());
        [format!("--b\r\nX: {filler}\r\n").as_bytes(), &part, b"\r\n--b--"].concat()
    };
    let padded = |spaces: usize| {
        [
            b"--b\r\n",
            &part("a", b"1")[..],
            b"\r\n--b",
            " ".repeat(spaces).as_bytes(),
            b"\r\n",
            &part("c", b"2"),
            b"\r\n--b--",
        ]
        .concat()
    };
    for (form, parts) in [
        (headers(MAX_HEADER_BYTES), Ok(1)),
        (headers(MAX_HEADER_BYTES + 1), Err(())),
        (padded(MAX_PADDING), Ok(2)),
        (padded(MAX_PADDING + 1), Ok(1)),
        (padded(300), Ok(1)),
    ] {
        let whole = vec![Bytes::from(form.clone())];
        let in_bytes = form.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
        for chunks in [whole, in_bytes] {
            assert_eq!(read("b", chunks).await.map(|parts| parts.len()).map_err(drop), parts, "{} bytes", form.len());
        }
    }
}

#[tokio::test]
async fn a_boundary_is_read_as_clients_send_it() {
    for (sent, boundary) in [
        ("b", "b"),
        ("\"b c\"", "b c"),
        ("----=_Part_1_2.3", "----=_Part_1_2.3"),
        ("\"--a/b:c?\"; charset=utf-8", "--a/b:c?"),
        ("b ; charset=utf-8", "b"),
    ] {
        let form = format!("--{boundary}\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--{boundary}--");
        let form = read(sent, vec![form.into()]).await.unwrap();
        assert_eq!(form, [("a".to_owned(), None, b"1".to_vec())], "{sent}");
    }
    for bad in ["", "\"\"", &"b".repeat(MAX_BOUNDARY_BYTES + 1)] {
        assert!(matches!(read(bad, Vec::new()).await, Err(MultipartError::NoBoundary)), "{bad}");
    }
    let none = Multipart::new(b"multipart/form-data", stream::empty::<Result<Bytes, PayloadError>>());
    assert!(matches!(none, Err(MultipartError::NoBoundary)));
}

#[tokio::test]
async fn parts_that_are_not_read_are_skipped() {
    let form = [b"--b\r\n", &part("a", b"1")[..], b"\r\n--b\r\n", &part("c", b"2"), b"\r\n--b--"].concat();
    let chunks = form.iter().map(|byte| Ok(Bytes::copy_from_slice(&[*byte])));
    let mut form = Multipart::new(b"multipart/form-data; BOUNDARY=b", stream::iter(chunks)).unwrap();
    let mut names = Vec::new();
    while let Some(part) = form.next_part().await.unwrap() {
        names.push(part.name);
    }
    assert_eq!(names, ["a", "c"]);
    assert_eq!(form.chunk().await.unwrap(), None);
}

proptest! {
    #[test]
    fn a_form_is_the_same_in_whatever_chunks_it_arrives(
        contents in prop::collection::vec("(\r|\n|-|b|x| |\t|\r\n--b){0,12}", 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let contents: Vec<Vec<u8>> = contents.into_iter().map(String::into_bytes).collect();
        // A boundary in the content would be one.
        prop_assume!(!contents.iter().any(|content| {
            let line = [b"\r\n", &content[..], b"\r\n--b"].concat();
            memmem::find_iter(&line, b"\r\n--b").any(|at| {
                let rest = &line[at + 5..];
                let padding = rest.iter().take_while(|byte| b" \t".contains(byte)).count();
                rest.starts_with(b"--") || rest[padding..].starts_with(b"\r\n")
            })
        }));
        let mut bytes = Vec::new();
        for (number, content) in contents.iter().enumerate() {
            bytes.extend_from_slice(b"--b\r\n");
            bytes.extend_from_slice(&part(&number.to_string(), content));
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"--b--\r\n");
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|cut| Bytes::copy_from_slice(&bytes[cut[0]..cut[1]])).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let form = runtime.block_on(read("b", chunks)).unwrap();
        let expected: Form =
            contents.into_iter().enumerate().map(|(number, content)| (number.to_string(), None, content)).collect();
        prop_assert_eq!(form, expected);
    }

    #[test]
    fn any_bytes_are_a_form_or_an_error(bytes in prop::collection::vec(0u8.., 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(read("b", vec![[b"--b\r\n", &bytes[..]].concat().into()]));
    }
}

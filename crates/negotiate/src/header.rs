//! Header lines.
//!
//! Invariant: several lines of one name mean the same as one line with commas (RFC 9110 §5.3).

/// Joins the lines of a header whose value is a list, such as `Accept`, `Accept-Language` or `Content-Encoding`
/// (RFC 9110 §5.3). `None` if there are no lines. Bytes that are not UTF-8 become U+FFFD.
///
/// The values of the `http` crate and of actix-web can be passed as they are: `join_lines(headers.get_all("accept"))`.
///
/// ```
/// use negotiate::join_lines;
///
/// assert_eq!(join_lines(["de ", "en;q=0.5"]).as_deref(), Some("de, en;q=0.5"));
/// assert_eq!(join_lines([b"caf\xe9"]).as_deref(), Some("caf\u{fffd}"));
/// assert_eq!(join_lines::<&str>([]), None);
/// ```
pub fn join_lines<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Option<String> {
    let mut joined: Option<String> = None;
    for line in lines {
        let line = String::from_utf8_lossy(line.as_ref());
        match &mut joined {
            Some(joined) => {
                joined.push_str(", ");
                joined.push_str(line.trim());
            }
            None => joined = Some(line.trim().to_owned()),
        }
    }
    joined
}

//! Percent encoding, as paths of URLs and messages of gRPC have it.

/// The bytes with each `%XX` as the byte that it stands for; what is no such triple stays as it is.
pub fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triples_become_bytes_and_all_else_stays() {
        assert_eq!(percent_decoded(b"a%20b%e2%82%AC%"), "a b\u{20ac}%".as_bytes());
        assert_eq!(percent_decoded(b"100%, %zz %4"), b"100%, %zz %4");
    }
}

//! Pure: the few fields of an X.509 certificate that matter here, read from any bytes.
//!
//! Asterisk's own script makes certificates of X.509 version 1, whose host is named as the subject's CN
//! only; web PKI libraries read neither. What is needed of them for a pin is the public key, and of
//! those that are refused the reason.
//!
//! ```text
//! Certificate { tbs { [0] version?, serial, algorithm, issuer, validity, subject, key { algorithm, bits } … } … }
//! ```

/// What was read; it borrows from the certificate's DER bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Certificate<'d> {
    /// 1, 2 or 3.
    pub version: u8,
    /// `SubjectPublicKeyInfo`, with its tag and length.
    pub key_info: &'d [u8],
    /// Its `AlgorithmIdentifier`, without tag and length.
    pub key_algorithm: &'d [u8],
    /// Its key, without the count of unused bits.
    pub key: &'d [u8],
    /// The last common name of the subject.
    pub common_name: Option<&'d [u8]>,
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0] EXPLICIT`, around the version.
const VERSION: u8 = 0xa0;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

impl<'d> Certificate<'d> {
    /// Reads a certificate; `None` when these bytes are none.
    pub fn read(der: &'d [u8]) -> Option<Self> {
        let mut fields = Reader(der).inside(SEQUENCE)?.inside(SEQUENCE)?;
        let version = match fields.tag() {
            Some(VERSION) => match fields.inside(VERSION)?.take(INTEGER)? {
                [version @ 0..=2] => version + 1,
                _ => return None,
            },
            _ => 1,
        };
        fields.take(INTEGER)?;
        for _algorithm_issuer_validity in 0..3 {
            fields.take(SEQUENCE)?;
        }
        let subject = fields.inside(SEQUENCE)?;
        let before = fields.0;
        let mut info = fields.inside(SEQUENCE)?;
        let key_info = &before[..before.len() - fields.0.len()];
        let key_algorithm = info.take(SEQUENCE)?;
        let [0, key @ ..] = info.take(BIT_STRING)? else { return None };
        Some(Self { version, key_info, key_algorithm, key, common_name: common_name(subject) })
    }

    /// The length of an RSA key in bits; `None` when it is of another kind.
    pub fn rsa_bits(&self) -> Option<usize> {
        if Reader(self.key_algorithm).take(OBJECT_ID)? != RSA {
            return None;
        }
        let modulus = Reader(self.key).inside(SEQUENCE)?.take(INTEGER)?;
        let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
        let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        Some(modulus.len() * 8 - unused)
    }
}

/// Elements of DER at the front of bytes.
#[derive(Clone, Copy, Debug)]
struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Steps over the element at the front, which has this tag; returns what is in it.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let [first, length, rest @ ..] = self.0 else { return None };
        if *first != tag {
            return None;
        }
        let (length, rest) = match *length {
            short @ 0..=0x7f => (usize::from(short), rest),
            long => {
                // Nothing in a certificate is longer than three bytes can say.
                let (bytes, rest) =
                    rest.split_at_checked(usize::from(long & 0x7f)).filter(|_| long <= 0x83)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }

    fn inside(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }
}

fn common_name(mut subject: Reader<'_>) -> Option<&[u8]> {
    let mut found = None;
    while let Some(mut set) = subject.inside(SET) {
        while let Some(mut pair) = set.inside(SEQUENCE) {
            if pair.take(OBJECT_ID) == Some(COMMON_NAME) {
                // A string of any of the kinds that there are.
                found = pair.tag().and_then(|kind| pair.take(kind)).or(found);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn der(pem: &str) -> Vec<u8> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    }

    #[test]
    fn what_asterisks_script_makes_is_read() {
        let der = der(include_str!("../../../../tests/samples/tls/asterisk.pem"));
        let certificate = Certificate::read(&der).unwrap();
        assert_eq!((certificate.version, certificate.rsa_bits()), (1, Some(2048)));
        assert_eq!(certificate.common_name, Some(&b"pbx.example.org"[..]));
    }

    #[test]
    fn a_certificate_of_version_3_with_another_kind_of_key_is_read() {
        let der = der(include_str!("../../../../tests/samples/tls/named.pem"));
        let certificate = Certificate::read(&der).unwrap();
        assert_eq!((certificate.version, certificate.rsa_bits()), (3, None));
    }

    #[test]
    fn short_keys_are_counted_in_bits() {
        let der = der(include_str!("../../../../tests/samples/tls/short.pem"));
        assert_eq!(Certificate::read(&der).unwrap().rsa_bits(), Some(1024));
    }

    #[test]
    fn a_cut_certificate_is_none() {
        let der = der(include_str!("../../../../tests/samples/tls/asterisk.pem"));
        assert!((0..der.len()).all(|end| Certificate::read(&der[..end]).is_none()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(at in 0usize..900, noise in proptest::collection::vec(any::<u8>(), 1..9)) {
            let mut der = der(include_str!("../../../../tests/samples/tls/asterisk.pem"));
            let end = (at + noise.len()).min(der.len());
            let at = at.min(end);
            der.splice(at..end, noise);
            if let Some(certificate) = Certificate::read(&der) {
                let _any = certificate.rsa_bits();
            }
        }
    }
}

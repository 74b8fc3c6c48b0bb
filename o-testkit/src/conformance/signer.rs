//! The suite of `Signer` and `Verifier`.

use o_core::{Signer, Verified, Verifier, VerifyError};

use super::check::Suite;

const SUITE: Suite = Suite("Signer and Verifier");
const DOMAIN: &str = "o-conformance/1";
const TYPE: &[u8] = b"/o/conformance";

/// Checks that what a signer signs verifies as its peer's, and nothing else does: not for another
/// domain or type, and not with any byte changed or cut off.
///
/// # Panics
/// When one of the two does not conform.
///
/// # Cancel safety
/// Dropping the future ends the suite.
pub async fn signer(signer: &dyn Signer, verifier: &dyn Verifier) {
    for payload in [&b""[..], b"payload", &[0xa5; 64 * 1024]] {
        let envelope = SUITE.ok("signing", signer.sign(DOMAIN, TYPE, payload));
        let verified = verifier.verify(DOMAIN, TYPE, &envelope);
        let expected = Verified {
            peer: signer.peer(),
            payload: payload.to_vec().into(),
        };
        let step = format!("verifying {} bytes", payload.len());
        SUITE.equal(&step, &SUITE.ok(&step, verified), &expected);
    }
    let envelope = SUITE.ok("signing", signer.sign(DOMAIN, TYPE, b"payload"));
    another_use(verifier, &envelope);
    changed(verifier, &envelope);
    let other = SUITE.ok("signing", signer.sign("o-conformance/2", TYPE, b"payload"));
    let step = "the signature of another domain";
    denied(verifier, step, (DOMAIN, TYPE), &other);
}

/// Why these bytes do not verify in this domain and as this type.
fn denied(
    verifier: &dyn Verifier,
    step: &str,
    (domain, kind): (&str, &[u8]),
    bytes: &[u8],
) -> VerifyError {
    match verifier.verify(domain, kind, bytes) {
        Err(error) => error,
        Ok(verified) => SUITE.fail(step, &format!("accepted as {verified:?}")),
    }
}

/// An envelope is for one domain and type, and each reason against it is told by its name.
fn another_use(verifier: &dyn Verifier, envelope: &[u8]) {
    let step = "the envelope of one domain in another";
    let error = denied(verifier, step, ("o-conformance/2", TYPE), envelope);
    let named = matches!(error, VerifyError::BadSignature);
    SUITE.check(step, named, &format!("{error:?}"));

    let step = "the envelope of one type as another";
    for domain in [DOMAIN, "o-conformance/2"] {
        let error = denied(verifier, step, (domain, b"/o/other"), envelope);
        let named = matches!(error, VerifyError::WrongType);
        SUITE.check(step, named, &format!("{error:?}"));
    }

    let step = "no bytes at all";
    let error = denied(verifier, step, (DOMAIN, TYPE), b"");
    let named = matches!(error, VerifyError::Malformed);
    SUITE.check(step, named, &format!("{error:?}"));
}

/// No byte can be changed, and none left out.
fn changed(verifier: &dyn Verifier, envelope: &[u8]) {
    for at in 0..envelope.len() {
        for flip in [0x01, 0x80] {
            let mut changed = envelope.to_vec();
            changed[at] ^= flip;
            let step = format!("byte {at} changed by {flip:#x}");
            denied(verifier, &step, (DOMAIN, TYPE), &changed);
        }
        let step = format!("cut after {at} bytes");
        denied(verifier, &step, (DOMAIN, TYPE), &envelope[..at]);
    }
}

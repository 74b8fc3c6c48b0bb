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
    let denied = |step: &str, domain: &str, kind: &[u8], bytes: &[u8]| match verifier
        .verify(domain, kind, bytes)
    {
        Err(error) => error,
        Ok(verified) => SUITE.fail(step, &format!("accepted as {verified:?}")),
    };
    let step = "the envelope of one domain in another";
    let error = denied(step, "o-conformance/2", TYPE, &envelope);
    SUITE.check(
        step,
        matches!(error, VerifyError::BadSignature),
        &format!("{error:?}"),
    );
    let step = "the envelope of one type as another";
    let error = denied(step, DOMAIN, b"/o/other", &envelope);
    SUITE.check(
        step,
        matches!(error, VerifyError::WrongType),
        &format!("{error:?}"),
    );
    let step = "no bytes at all";
    let error = denied(step, DOMAIN, TYPE, b"");
    SUITE.check(
        step,
        matches!(error, VerifyError::Malformed),
        &format!("{error:?}"),
    );

    for at in 0..envelope.len() {
        for flip in [0x01, 0x80] {
            let mut changed = envelope.to_vec();
            changed[at] ^= flip;
            denied(
                &format!("byte {at} changed by {flip:#x}"),
                DOMAIN,
                TYPE,
                &changed,
            );
        }
        denied(
            &format!("cut after {at} bytes"),
            DOMAIN,
            TYPE,
            &envelope[..at],
        );
    }
    let other = SUITE.ok("signing", signer.sign("o-conformance/2", TYPE, b"payload"));
    denied("the signature of another domain", DOMAIN, TYPE, &other);
}

//! A key pair and the verifier of envelopes pass the suite of `Signer` and `Verifier`.

use o_testkit::conformance;
use o_transport::{EnvelopeVerifier, Keypair};

#[tokio::test]
async fn signed_envelopes_conform() {
    conformance::signer(&Keypair::from_seed("signer"), &EnvelopeVerifier).await;
}

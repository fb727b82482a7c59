// node sigstore-verify.cjs SIGNATURE.json KEY.pub
// Verifies one signature of a bundle with Sigstore's own library, and prints the statement that it covers.
// There is no transparency log, time stamp or certificate: the public key is all the trust there is.
'use strict';

const fs = require('node:fs');
const { createPublicKey } = require('node:crypto');
const { bundleFromJSON } = require('@sigstore/bundle');
const { PublicKeyDetails } = require('@sigstore/protobuf-specs');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const [signatureFile, keyFile] = process.argv.slice(2);
const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(signatureFile, 'utf8')));
const key = {
  rawBytes: createPublicKey(fs.readFileSync(keyFile)).export({ format: 'der', type: 'spki' }),
  keyDetails: PublicKeyDetails.PKIX_ECDSA_P256_SHA_256,
};
const hint = bundle.verificationMaterial.content.publicKey.hint;
const nobody = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const verifier = new Verifier(toTrustMaterial(nobody, { [hint]: key }), {
  tlogThreshold: 0,
  ctlogThreshold: 0,
  tsaThreshold: 0,
});
verifier.verify(toSignedEntity(bundle));
process.stdout.write(bundle.content.dsseEnvelope.payload);

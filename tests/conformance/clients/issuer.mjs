// An OpenID provider, the package `oidc-provider`, at a free port: it gives out signed tokens by the client-credentials flow.
// Its clients are called like the algorithm that their tokens are signed by, and its audiences like `urn:NAME`.
//
// Prints `issuer at URL`. `POST /rotate` is the tests' own: from then on it signs by other keys, and publishes those alone.

import http from "node:http";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import Provider from "oidc-provider";

const KINDS = {
  RS256: ["rsa", { modulusLength: 2048 }],
  ES256: ["ec", { namedCurve: "P-256" }],
  EdDSA: ["ed25519", {}],
};

function key([alg, kind]) {
  return { ...generateKeyPairSync(...kind).privateKey.export({ format: "jwk" }), kid: randomUUID(), alg, use: "sig" };
}

function provider(issuer) {
  const client = (name) => ({
    client_id: name,
    client_secret: "secret",
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  });
  return new Provider(issuer, {
    clients: Object.keys(KINDS).map(client),
    jwks: { keys: Object.entries(KINDS).map(key) },
    ttl: { ClientCredentials: 600 },
    extraTokenClaims: (_, token) => ({ groups: token.clientId === "EdDSA" ? ["sales"] : ["engineering", "all"] }),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource, client) => ({
          scope: "chat",
          audience: resource.replace("urn:", ""),
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: client.clientId } },
        }),
      },
    },
  });
}

const server = http.createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  let answer = provider(issuer).callback();
  server.on("request", (request, response) => {
    if (request.url !== "/rotate") return answer(request, response);
    answer = provider(issuer).callback();
    response.end();
  });
  console.log(`issuer at ${issuer}`);
});

// A real OpenID provider for the tests (npm oidc-provider), on a free port of loopback; prints its issuer.
// The user types "subject|e-mail|email_verified" as the login; any password will do.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [client_id, client_secret, redirect_uri] = process.argv.slice(2);
const server = createServer();

server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id, client_secret, redirect_uris: [redirect_uri] }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    cookies: { keys: ["only for tests"] },
    findAccount: (context, id) => {
      const [, email, verified] = id.split("|");
      const claims = { sub: id, email, email_verified: { true: true, false: false }[verified] ?? verified.replace("text:", ""), name: "From Outside" };
      return { accountId: id, claims: async () => claims };
    },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});

// Passkeys: requests a challenge from the server and a passkey from the browser, and submits both with the page's form.
// A form says with data-passkey whether it creates or uses a passkey, and with data-challenge where its challenge is.
import { _ } from "./i18n.js";

// The server's challenges expire after ten minutes; the offer in the email field is renewed before that.
const RENEW_MS = 9 * 60 * 1000;
const forms = document.querySelectorAll("form[data-passkey]");
let offer = null;

function isSupported() {
  return "PublicKeyCredential" in window && "parseRequestOptionsFromJSON" in PublicKeyCredential;
}

function show(form, message) {
  const status = form.querySelector("[data-passkey-status]");
  if (status) status.textContent = message;
}

// Return the challenge and its options, or null if the user has to sign in or to confirm their identity first.
async function fetchChallenge(form) {
  const body = new URLSearchParams({ csrf_token: form.elements.csrf_token.value });
  const response = await fetch(form.dataset.challenge, { method: "POST", body });
  if (response.redirected) {
    // The session has ended: the sign-in page has to return to this page, not to the challenge, which is no page.
    if (new URL(response.url).pathname === "/signin") location.reload();
    else location.assign(response.url);
    return null;
  }
  if (!response.ok) throw new Error(_("The server did not respond as expected. Reload the page and try again."));
  return response.json();
}

function requestPasskey(form, options, extra) {
  if (form.dataset.passkey === "create") {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  }
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options), ...extra });
}

async function submitWithPasskey(form, extra = {}) {
  const found = await fetchChallenge(form);
  if (!found) return;
  const credential = await requestPasskey(form, found.options, extra);
  form.elements.challenge.value = found.challenge;
  form.elements.credential.value = JSON.stringify(credential.toJSON());
  form.submit();
}

function explain(error) {
  if (error.name === "InvalidStateError") return _("This passkey has already been added.");
  if (error.name === "NotAllowedError") return _("No passkey was used: the request was canceled, or took too long.");
  return error.message;
}

// Offer passkeys among the suggestions of the email field, until one is chosen or a button requests one.
async function offerInField(form) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  offer?.abort();
  offer = new AbortController();
  const renewal = setTimeout(() => offerInField(form), RENEW_MS);
  try {
    await submitWithPasskey(form, { mediation: "conditional", signal: offer.signal });
  } catch {
    // A button or the next offer has aborted it, or passkeys fail here; the button shows why.
  } finally {
    clearTimeout(renewal);
  }
}

function start() {
  for (const form of forms) {
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      offer?.abort();
      show(form, "");
      try {
        await submitWithPasskey(form);
      } catch (error) {
        show(form, explain(error));
        if ("offer" in form.dataset) offerInField(form);
      }
    });
    if ("offer" in form.dataset) offerInField(form);
  }
  for (const note of document.querySelectorAll("[data-passkey-unsupported]")) note.hidden = true;
}

if (isSupported()) start();

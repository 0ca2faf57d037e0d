// Passkeys: asks the server for a challenge, the browser for a passkey, and submits the answer with the page's own form.
// A form says with data-passkey whether it creates or uses a passkey, and with data-challenge where its challenge is.
"use strict";

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

// Return the challenge and its options, or null if the user has to confirm their identity first.
async function fetchChallenge(form) {
  const body = new URLSearchParams({ csrf_token: form.elements.csrf_token.value });
  const answer = await fetch(form.dataset.challenge, { method: "POST", body });
  if (answer.redirected) {
    location.assign(answer.url);
    return null;
  }
  if (!answer.ok) throw new Error("The server did not respond as expected. Reload the page and try again.");
  return answer.json();
}

function ask(form, options, extra) {
  if (form.dataset.passkey === "create") {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  }
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options), ...extra });
}

async function submitWithPasskey(form, extra = {}) {
  const found = await fetchChallenge(form);
  if (!found) return;
  const credential = await ask(form, found.options, extra);
  form.elements.challenge.value = found.challenge;
  form.elements.credential.value = JSON.stringify(credential.toJSON());
  form.submit();
}

function explain(error) {
  if (error.name === "InvalidStateError") return "This passkey has already been added.";
  if (error.name === "NotAllowedError") return "No passkey was used: the request was canceled, or took too long.";
  return error.message;
}

// Offer passkeys among the suggestions of the email field, as long as the page is open.
async function offerInField(form) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  offer = new AbortController();
  const renewal = setTimeout(() => {
    offer?.abort();
    offerInField(form);
  }, RENEW_MS);
  try {
    await submitWithPasskey(form, { mediation: "conditional", signal: offer.signal });
  } catch (error) {
    if (error.name !== "AbortError") clearTimeout(renewal);
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
      }
    });
    if ("offer" in form.dataset) offerInField(form);
  }
  for (const note of document.querySelectorAll("[data-passkey-unsupported]")) note.hidden = true;
}

if (isSupported()) start();

// Calls every export of @commercelayer/js-auth, plus one call of each SDK, against a running server and the
// example shop. The clients are the published ones, unmodified.
import assert from 'node:assert/strict'
import * as cl from '@commercelayer/js-auth'
import provisioningModule from '@commercelayer/provisioning-sdk'
import { CommerceLayer } from '@commercelayer/sdk/bundle'
import { signIn } from './person.mjs'

const CommerceLayerProvisioning = provisioningModule.default ?? provisioningModule // CJS interop under node ESM
const domain = process.env.CL_LOCAL_DOMAIN
const JWT = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const BASE = ['accessToken', 'createdAt', 'expires', 'expiresIn', 'scope', 'tokenType']
const keys = (r, ...more) => assert.deepEqual(Object.keys(r).sort(), [...BASE, ...more].sort())
let n = 0
const step = async (name, fn) => { try { await fn(); n++; console.log('ok  ', name) } catch (e) { console.log('FAIL', name, '\n     ', e); process.exitCode = 1 } }
const mem = (name) => { const m = new Map(); return { name, m, getItem: async (k) => m.get(k) ?? null, setItem: async (k, v) => { m.set(k, v) }, removeItem: async (k) => { m.delete(k) } } }
const scope = 'market:code:europe'

await step('client_credentials, sales channel, no secret', async () => {
  const r = await cl.authenticate('client_credentials', { domain, clientId: 'sc', scope })
  keys(r)
  const { header, payload } = cl.jwtDecode(r.accessToken)
  assert.equal(header.alg, 'RS512'); assert.equal(payload.iss, `https://auth.${domain}`)
  assert.equal(cl.jwtIsSalesChannel(payload), true); assert.equal(cl.getTokenType(payload), 'sales_channel:guest')
  assert.equal(payload.application.confidential, false)
  assert.equal(cl.getCoreApiBaseEndpoint(r.accessToken), `https://my-org.${domain}`)
  assert.equal(cl.getProvisioningApiBaseEndpoint(r.accessToken, { shouldThrow: false }), null)
})
await step('client_credentials, store scope echoed verbatim', async () => {
  const r = await cl.authenticate('client_credentials', { domain, clientId: 'sc', scope: 'store:code:outlet_ny' })
  assert.equal(r.scope, 'store:code:outlet_ny')
})
await step('client_credentials, integration', async () => {
  const r = await cl.authenticate('client_credentials', { domain, clientId: 'int', clientSecret: 'int-secret' })
  keys(r); assert.equal(r.scope, 'market:all'); assert.equal(cl.jwtIsIntegration(cl.jwtDecode(r.accessToken).payload), true)
})
await step('unknown client gives an errors array, not an exception', async () => {
  const r = await cl.authenticate('client_credentials', { domain, clientId: 'nope' })
  assert.equal(r.errors[0].title, 'invalid_client'); assert.equal(r.errors[0].status, 401); assert.equal('accessToken' in r, false)
})
let login
await step('password', async () => {
  login = await cl.authenticate('password', { domain, clientId: 'sc', scope, username: 'john@example.com', password: 'secret' })
  keys(login, 'ownerId', 'ownerType', 'refreshToken'); assert.equal(login.ownerType, 'customer')
  assert.equal(cl.getTokenType(cl.jwtDecode(login.accessToken).payload), 'sales_channel:customer')
})
await step('password, wrong secret', async () => {
  const r = await cl.authenticate('password', { domain, clientId: 'sc', scope, username: 'john@example.com', password: 'x' })
  assert.equal(r.errors[0].title, 'invalid_grant')
})
await step('refresh_token rotates', async () => {
  const r = await cl.authenticate('refresh_token', { domain, clientId: 'sc', scope, refreshToken: login.refreshToken })
  keys(r, 'ownerId', 'ownerType', 'refreshToken'); assert.notEqual(r.refreshToken, login.refreshToken)
})
await step('authorization_code (through the dashboard host and the real sign-in page)', async () => {
  const q = new URLSearchParams({ client_id: 'web', redirect_uri: 'https://shop.example/callback', response_type: 'code', scope, state: 's1' })
  const back = await signIn(`https://dashboard.${domain}/oauth/authorize?${q}`, { username: 'ringo@example.com', password: 'secret' })
  assert.equal(back.origin + back.pathname, 'https://shop.example/callback'); assert.equal(back.searchParams.get('state'), 's1')
  const r = await cl.authenticate('authorization_code', { domain, clientId: 'web', clientSecret: 'web-secret', redirectUri: 'https://shop.example/callback', code: back.searchParams.get('code'), scope })
  keys(r, 'ownerId', 'ownerType', 'refreshToken'); assert.equal(r.ownerType, 'user'); assert.equal(cl.jwtIsWebApp(cl.jwtDecode(r.accessToken).payload), true)
})
await step('jwt bearer: customer owner + custom claim, for all three kinds', async () => {
  const assertion = await cl.createAssertion({ payload: { 'https://commercelayer.io/claims': { owner: { type: 'Customer', id: 'custAAAAAA' }, custom_claim: { customer: { first_name: 'Jörg' } } } } })
  for (const [clientId, clientSecret] of [['sc', 'sc-secret'], ['int', 'int-secret'], ['web', 'web-secret']]) {
    const r = await cl.authenticate(JWT, { domain, clientId, clientSecret, assertion, scope })
    keys(r, 'ownerId', 'ownerType', 'refreshToken')
    assert.equal(cl.jwtDecode(r.accessToken).payload.custom_claim.customer.first_name, 'Jörg')
    assert.equal((await cl.jwtVerify(r.accessToken)).payload.owner.type, 'Customer')
  }
})
await step('jwt bearer: custom claim only has a refresh token but no owner', async () => {
  const assertion = await cl.createAssertion({ payload: { 'https://commercelayer.io/claims': { custom_claim: { app: 'x' } } } })
  keys(await cl.authenticate(JWT, { domain, clientId: 'int', clientSecret: 'int-secret', assertion }), 'refreshToken')
})
await step('jwt bearer: empty claims', async () => {
  const assertion = await cl.createAssertion({ payload: { 'https://commercelayer.io/claims': {} } })
  const r = await cl.authenticate(JWT, { domain, clientId: 'int', clientSecret: 'int-secret', assertion })
  assert.equal(r.errors[0].title, 'invalid_assertion')
})
await step('createAssertion signs HS512 with the constant key "cl"', async () => {
  const a = await cl.createAssertion({ payload: { 'https://commercelayer.io/claims': { owner: { type: 'User', id: '1' } } } })
  const { createHmac } = await import('node:crypto'); const [h, b, s] = a.split('.')
  assert.equal(createHmac('sha512', 'cl').update(`${h}.${b}`).digest('base64url'), s)
})
await step('jwtVerify fetches the key set from the iss of the token; rejects tampering', async () => {
  const good = await cl.jwtVerify(login.accessToken); assert.equal(good.header.alg, 'RS512')
  const [h, b, s] = login.accessToken.split('.')
  const bad = [h, Buffer.from(JSON.stringify({ ...good.payload, test: false })).toString('base64url'), s].join('.')
  await assert.rejects(() => cl.jwtVerify(bad), cl.InvalidTokenError)
})
await step('revoke: integration token with secret gives {}', async () => {
  const r = await cl.authenticate('client_credentials', { domain, clientId: 'int', clientSecret: 'int-secret' })
  assert.deepEqual(await cl.revoke({ clientId: 'int', clientSecret: 'int-secret', token: r.accessToken }), {})
  const ask = async () => (await fetch(`${cl.getCoreApiBaseEndpoint(r.accessToken)}/api/skus`, { headers: { authorization: `Bearer ${r.accessToken}` } })).status
  // The shop hears of it over the feed, which takes milliseconds but is not part of the answer.
  const until = Date.now() + 1000
  while (await ask() === 200 && Date.now() < until);
  assert.equal(await ask(), 401)
})
await step('revoke: guest sales channel token without secret is refused', async () => {
  const r = await cl.authenticate('client_credentials', { domain, clientId: 'sc', scope })
  assert.equal((await cl.revoke({ clientId: 'sc', token: r.accessToken })).errors[0].status, 403)
})
await step('revoke: a refresh token, in the three-part form that js-auth can read', async () => {
  const fresh = await cl.authenticate('password', { domain, clientId: 'sc', scope, username: 'john@example.com', password: 'secret' })
  assert.deepEqual(await cl.revoke({ clientId: 'sc', token: fresh.refreshToken }), {})
  const after = await cl.authenticate('refresh_token', { domain, clientId: 'sc', scope, refreshToken: fresh.refreshToken })
  assert.equal(after.errors[0].title, 'invalid_grant')
})
await step('makeSalesChannel: guest, cached, customer, logout', async () => {
  const storage = mem('memory')
  const sc = cl.makeSalesChannel({ domain, clientId: 'sc', scope, debug: { logLevel: 'info' } }, { storage: cl.createCompositeStorage({ name: 'c', storages: [mem('fast'), storage] }) })
  const log = console.log; console.log = () => {}
  try {
    const g = await sc.getAuthorization(); assert.equal(g.ownerType, 'guest')
    assert.equal((await sc.getAuthorization()).accessToken, g.accessToken)
    const c = await cl.authenticate('password', { domain, clientId: 'sc', scope, username: 'john@example.com', password: 'secret' })
    await sc.setCustomer(c); assert.equal((await sc.getAuthorization()).ownerType, 'customer')
    assert.deepEqual(await sc.logoutCustomer(), {}); assert.equal((await sc.getAuthorization()).ownerType, 'guest')
  } finally { console.log = log }
})
await step('makeIntegration: default scope market:all, revokeAuthorization', async () => {
  const i = cl.makeIntegration({ domain, clientId: 'int', clientSecret: 'int-secret' }, { storage: mem('m') })
  assert.equal((await i.getAuthorization()).scope, 'market:all'); assert.deepEqual(await i.revokeAuthorization(), {})
})
let prov
await step('provisioning token (kind user) and base endpoint', async () => {
  prov = await cl.authenticate('client_credentials', { domain, clientId: 'prov', clientSecret: 'prov-secret' })
  keys(prov); const { payload } = cl.jwtDecode(prov.accessToken)
  assert.equal(cl.jwtIsUser(payload), true); assert.equal(payload.test, false)
  assert.equal(cl.getProvisioningApiBaseEndpoint(prov.accessToken), `https://provisioning.${domain}`)
})
await step('provisioning-sdk with its own `domain` option', async () => {
  const p = CommerceLayerProvisioning({ accessToken: prov.accessToken, domain })
  assert.equal((await p.user.retrieve()).email, 'ringo@example.com'); assert.equal((await p.roles.list()).first().kind, 'admin')
})
await step('core sdk with its own `domain` option', async () => {
  const t = await cl.authenticate('client_credentials', { domain, clientId: 'int', clientSecret: 'int-secret' })
  const c = CommerceLayer({ organization: 'my-org', domain, accessToken: t.accessToken })
  assert.equal((await c.organization.retrieve()).slug, 'my-org')
})
await step('form body, vnd.api+json body and HTTP Basic are all met in the wild', async () => {
  const u = `https://auth.${domain}/oauth/token`
  const f = await fetch(u, { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', client_id: 'int', client_secret: 'int-secret', scope: 'market:all' }) })
  const v = await fetch(u, { method: 'POST', headers: { 'content-type': 'application/vnd.api+json' }, body: JSON.stringify({ grant_type: 'client_credentials', client_id: 'prov', client_secret: 'prov-secret' }) })
  const b = await fetch(u, { method: 'POST', headers: { authorization: 'Basic ' + Buffer.from('int:int-secret').toString('base64') }, body: new URLSearchParams({ grant_type: 'client_credentials' }) })
  assert.deepEqual([f.status, v.status, b.status], [200, 200, 200])
})
console.log(`\n${n} steps passed`)

// Lists, makes, reads, changes, filters, includes and deletes each resource with the vendor's
// @commercelayer/provisioning-sdk, the published one, unmodified. What it cannot delete (roles and
// permissions) is deleted with plain requests.
import assert from 'node:assert/strict'
import * as cl from '@commercelayer/js-auth'
import provisioningModule from '@commercelayer/provisioning-sdk'

const CommerceLayerProvisioning = provisioningModule.default ?? provisioningModule // CJS interop under node ESM
const domain = process.env.CL_LOCAL_DOMAIN
const home = { id: 'orgMyOrgAA', type: 'organizations' }
let n = 0
const step = async (name, fn) => {
  try { await fn(); n++; console.log('ok  ', name) } catch (e) { console.log('FAIL', name, '\n     ', e); process.exitCode = 1 }
}
const refused = async (status, pointer, promise) => {
  const error = await promise.then(() => assert.fail('was not refused'), (e) => e)
  assert.equal(error.status, status, JSON.stringify(error.errors))
  if (pointer) assert.equal(error.errors[0].source.pointer, pointer)
}

const { accessToken } = await cl.authenticate('client_credentials', {
  domain, clientId: 'prov', clientSecret: 'prov-secret', scope: 'provisioning-api'
})
const sdk = CommerceLayerProvisioning({ accessToken, domain })
const remove = async (path) => {
  const answer = await fetch(`https://provisioning.${domain}/api/${path}`, {
    method: 'DELETE', headers: { Authorization: `Bearer ${accessToken}` }
  })
  assert.equal(answer.status, 204)
}

await step('user: retrieve and update', async () => {
  const before = await sdk.user.retrieve()
  assert.equal(before.type, 'users'); assert.equal(before.email, 'ringo@example.com')
  const after = await sdk.user.update({ last_name: 'Starr', metadata: { plays: 'drums' } })
  assert.equal(after.last_name, 'Starr'); assert.deepEqual(after.metadata, { plays: 'drums' })
})
await step('organizations: create, list, filter, update, include', async () => {
  const made = await sdk.organizations.create({ name: `Blue ${Date.now()}` })
  const listed = await sdk.organizations.list({ filters: { id_eq: made.id } })
  assert.equal(listed.recordCount, 1)
  const renamed = await sdk.organizations.update({ id: made.id, name: 'Blue brand', support_email: 'a@b.example' })
  assert.equal(renamed.support_email, 'a@b.example')
  const whole = await sdk.organizations.retrieve(made.id, { include: ['roles', 'memberships'] })
  assert.equal(whole.roles.length, 2); assert.equal(whole.memberships[0].owner, true)
  assert.equal((await sdk.organizations.roles(made.id)).recordCount, 2)
  await refused(422, '/data/attributes/new_owner_email', sdk.organizations.transfer_ownership(made.id, {
    type: 'organizations', id: made.id, new_owner_email: 'nobody@example.com'
  }))
})

let role
await step('roles: create, list, update, include, filter, versions', async () => {
  role = await sdk.roles.create({ name: 'Pickers', organization: sdk.organizations.relationship(home.id), reference: 'r-1' })
  assert.equal(role.kind, 'custom')
  const updated = await sdk.roles.update({ id: role.id, name: 'Packers' })
  assert.equal(updated.name, 'Packers')
  const found = await sdk.roles.list({ filters: { name_start: 'Pack', reference_eq: 'r-1' }, include: ['organization'], sort: { name: 'desc' }, pageSize: 5 })
  assert.equal(found.recordCount, 1); assert.equal(found.first().organization.slug, 'my-org')
  assert.equal((await sdk.roles.versions(role.id)).recordCount, 2)
  await refused(422, '/data/attributes/name', sdk.roles.create({ organization: sdk.organizations.relationship(home.id) }))
})
let permission
await step('permissions: create, list, update, include, filter', async () => {
  permission = await sdk.permissions.create({
    subject: 'orders', can_create: false, can_read: true, can_update: false, can_destroy: false,
    role: sdk.roles.relationship(role.id)
  })
  assert.equal(permission.can_read, true)
  assert.equal((await sdk.permissions.update({ id: permission.id, can_update: true })).can_update, true)
  const found = await sdk.permissions.list({ filters: { role_id_eq: role.id, can_update_true: true }, include: ['role'] })
  assert.equal(found.recordCount, 1); assert.equal(found.first().role.name, 'Packers')
  assert.equal(await sdk.permissions.count({ subject_in: ['skus', 'prices'], role_id_eq: role.id }), 0)
})
let credential
await step('api_credentials: create shows the secret once, which works; list, update, filter', async () => {
  credential = await sdk.api_credentials.create({
    name: 'Till', kind: 'integration', mode: 'test', expires_in: 7200,
    organization: sdk.organizations.relationship(home.id), role: sdk.roles.relationship(role.id)
  })
  const clientId = credential.client_id
  const gets = async (clientSecret) => (await cl.authenticate('client_credentials', { domain, clientId, clientSecret })).accessToken
  assert.ok(await gets(credential.client_secret))
  const seen = await sdk.api_credentials.retrieve(credential.id, { include: ['role', 'organization'] })
  assert.equal(seen.client_secret, null); assert.equal(seen.role.id, role.id)
  const rotated = await sdk.api_credentials.update({ id: credential.id, _rotate_secret: true, secret_overlap: 600 })
  assert.ok(await gets(credential.client_secret)); assert.ok(await gets(rotated.client_secret))
  assert.equal((await sdk.api_credentials.list({ filters: { kind_eq: 'integration', name_cont: 'Til' } })).recordCount, 1)
  assert.equal((await sdk.roles.api_credentials(role.id)).first().id, credential.id)
  await refused(422, '/data/relationships/role', sdk.api_credentials.create({
    name: 'Shop', kind: 'sales_channel', organization: sdk.organizations.relationship(home.id), role: sdk.roles.relationship(role.id)
  }))
})
let profile, membership, application
await step('membership_profiles: create, list, update, include, filter', async () => {
  profile = await sdk.membership_profiles.create({ name: 'Marketing', access_scope: 'live_access', organization: sdk.organizations.relationship(home.id) })
  assert.equal((await sdk.membership_profiles.update({ id: profile.id, access_scope: 'all_access' })).access_scope, 'all_access')
  const listed = await sdk.membership_profiles.list({ filters: { name_eq: 'Marketing' }, include: ['organization'] })
  assert.equal(listed.recordCount, 1); assert.equal(listed.first().organization.slug, 'my-org')
})
await step('memberships: invite, resend, list, update, include, filter, delete', async () => {
  membership = await sdk.memberships.create({
    user_email: 'george@example.com', organization: sdk.organizations.relationship(home.id), role: sdk.roles.relationship(role.id)
  })
  assert.equal(membership.status, 'pending'); assert.ok(membership.invitation_code)
  await sdk.memberships.resend(membership.id)
  await sdk.memberships.update({ id: membership.id, membership_profile: sdk.membership_profiles.relationship(profile.id) })
  const found = await sdk.memberships.list({ filters: { status_eq: 'pending', user_email_end: '@example.com' }, include: ['role', 'membership_profile'] })
  assert.equal(found.first().membership_profile.name, 'Marketing')
  const other = await sdk.memberships.create({
    user_email: 'pete@example.com', organization: sdk.organizations.relationship(home.id), role: sdk.roles.relationship(role.id)
  })
  await sdk.memberships.delete(other.id)
  await refused(404, null, sdk.memberships.retrieve(other.id))
  await refused(403, null, sdk.memberships.delete((await sdk.memberships.list({ filters: { owner_eq: true, organization_id_eq: home.id } })).first().id))
})
await step('application_memberships: create, list, update, include, filter, delete', async () => {
  application = await sdk.application_memberships.create({
    filters: { market_id_in: [1] }, organization: sdk.organizations.relationship(home.id),
    api_credential: sdk.api_credentials.relationship(credential.id), role: sdk.roles.relationship(role.id),
    membership: sdk.memberships.relationship(membership.id)
  })
  const changed = await sdk.application_memberships.update({ id: application.id, filters: {}, membership_profile: sdk.membership_profiles.relationship(profile.id) })
  assert.deepEqual(changed.filters, {})
  const found = await sdk.application_memberships.list({ filters: { role_id_eq: role.id }, include: ['api_credential', 'membership'] })
  assert.equal(found.first().api_credential.name, 'Till')
  assert.equal((await sdk.membership_profiles.application_memberships(profile.id)).recordCount, 1)
  await sdk.application_memberships.delete(application.id)
  await refused(404, null, sdk.application_memberships.retrieve(application.id))
})
await step('identity_providers: create, list, disable, enable, update, filter, delete', async () => {
  const base = 'https://idp.example'
  const made = await sdk.identity_providers.create({
    name: 'SSO', client_id: 'c', client_secret: 's', issuer: base, domains: 'example.com',
    token_url: `${base}/token`, authorize_url: `${base}/authorize`, jwks_url: `${base}/jwks`
  })
  assert.equal(made.status, 'pending'); assert.ok(made.txt_record)
  assert.ok((await sdk.identity_providers._disable(made.id)).disabled_at)
  assert.equal((await sdk.identity_providers._enable(made.id)).disabled_at, null)
  assert.equal((await sdk.identity_providers.update({ id: made.id, name: 'Sign-on' })).name, 'Sign-on')
  assert.equal((await sdk.identity_providers.list({ filters: { name_matches: 'sign%' }, include: ['user'] })).first().user.email, 'ringo@example.com')
  assert.equal((await sdk.identity_providers.user(made.id)).email, 'ringo@example.com')
  await sdk.identity_providers.delete(made.id)
})
await step('versions: list, filter, retrieve', async () => {
  const found = await sdk.versions.list({ filters: { resource_type_eq: 'permissions', event_eq: 'update' }, sort: ['-created_at'] })
  const mine = found.find((version) => version.resource_id === permission.id)
  assert.deepEqual(mine.changes.can_update, [false, true])
  assert.equal((await sdk.versions.retrieve(mine.id)).who.user.id, 'userAAAAAA')
})
await step('everything is deleted, and a role takes what used it', async () => {
  await remove(`permissions/${permission.id}`)
  await sdk.membership_profiles.delete(profile.id)
  await remove(`roles/${role.id}`)
  assert.equal((await sdk.api_credentials.retrieve(credential.id)).disabled, true)
  await refused(404, null, sdk.memberships.retrieve(membership.id))
  await sdk.api_credentials.delete(credential.id)
  await refused(404, null, sdk.api_credentials.retrieve(credential.id))
})
console.log(`${n} steps of the provisioning SDK passed`)

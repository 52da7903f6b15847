// What a script may import from https://deno.land/x/authgear_deno_hook@…/mod.ts, whichever version
// it names. Nothing is fetched for it, and nothing of it exists when the script runs.
//
// These are Textgate's own declarations of the same names. Those about SMS are exact, and wider than
// the published ones: all that is sent and understood is in them. The rest belongs to hooks that
// Textgate does not call; it is declared so that code that is shared with such hooks still compiles,
// and permits more than the published types do.

type Texts<T extends string> = { [name in T]?: string };

/** The message to send. */
export interface CustomSMSGatewayPayload {
  /** The recipient's number in E.164, with its +. */
  to: string;
  /** The text, ready to send; it often ends in a line feed. */
  body: string;
  /** The project that sends; empty in a test. */
  app_id: string;
  /** Such as "verification_sms.txt"; empty in a test, and for messages without a template. */
  template_name: string;
  /** The language of the text (BCP 47); empty in a test. */
  language_tag: string;
  /** What the text was made of. A variable that is empty or false is left out. */
  template_variables: CustomSMSGatewayTemplateVariables;
}

interface CustomSMSGatewayTemplateVariables
  extends
    Texts<"app_name" | "client_id" | "code" | "email" | "host" | "link" | "password" | "phone">,
    Texts<"state" | "ui_locales" | "url" | "x_state"> {
  has_password?: boolean;
  // deno-lint-ignore no-explicit-any
  [name: string]: any;
}

/** What became of the message. */
export interface CustomSMSGatewayResponse {
  code:
    | "ok"
    | "invalid_phone_number"
    | "rate_limited"
    | "authentication_failed"
    | "delivery_rejected"
    | "unsupported_request"
    | "timeout"
    | "unknown_error"
    | "invalid_request";
  /** A sentence for people. */
  description?: string;
  /** The provider's own code. */
  provider_error_code?: string;
  info?: Texts<"provider_name" | "provider_type" | "provider_error_code"> & {
    [name: string]: unknown;
  };
}

/** The second argument of a script, which Textgate alone gives. */
export interface TextgateContext {
  /** The channel's secrets, by name. */
  readonly secrets: { readonly [name: string]: string };
}

// --- Hooks ---

interface Open {
  // deno-lint-ignore no-explicit-any
  [member: string]: any;
}

export interface HookResponseAllowed extends Open {
  is_allowed: true;
}
export interface HookResponseDisallowed extends Open {
  is_allowed: false;
  title?: string;
  reason?: string;
}
export type HookResponse = HookResponseAllowed | HookResponseDisallowed;

export type AMR = string;
export type BotProtectionRiskMode = string;
export type IdentityType = string;
export type LoginIDType = string;
export type SessionType = string;

export interface Mutations extends Open {}
export interface Constraints extends Open {}
export interface BotProtectionRequirements extends Open {}
export interface RateLimits extends Open {}
export interface RateLimitRequirements extends Open {}
export interface AMRConstraint extends Open {}
export interface MutationsOnUser extends Open {}
export interface MutationsOnJWT extends Open {}
export interface MutationsOnIDToken extends Open {}
export interface JWTMutations extends Open {}
export interface JWTPayloadMutations extends Open {}
export interface UserMutations extends Open {}
export interface UserMutationsCustomAttributes extends Open {}
export interface UserMutationsStandardAttributes extends Open {}
export interface StandardAttributesAddress extends Open {}
export interface HookEventContext extends Open {}
export interface TriggeredBy extends Open {}
export interface OAuthContext extends Open {}
export interface EntityBase extends Open {}
export interface JWT extends Open {}
export interface JWTPayload extends Open {}
export interface User extends Open {}
export interface UserStandardAttributes extends Open {}
export interface UserCustomAttributes extends Open {}
export interface UserWeb3Info extends Open {}
export interface UserWeb3Account extends Open {}
export interface Web3AccountIdentifier extends Open {}
export interface Web3NetworkIdentifier extends Open {}
export interface Web3NFT extends Open {}
export interface Web3NFTContract extends Open {}
export interface Web3NFTToken extends Open {}
export interface Web3TransactionIdentifier extends Open {}
export interface Web3BlockIdentifier extends Open {}
export interface Identity extends Open {}
export interface Authenticator extends Open {}
export interface Session extends Open {}
export interface AuthenticationFlow extends Open {}
export interface Authentication extends Open {}
export interface Identification extends Open {}
export interface AuthenticationContext extends Open {}
export interface AccountMigrationRequest extends Open {}
export interface AccountMigrationResponse extends Open {}

export interface HookEventBase extends Open {
  id: string;
  seq: number;
  type: string;
  payload: Open;
  context: HookEventContext;
}

export interface EventUserPreCreate extends HookEventBase {}
export type EventUserPreCreateHookResponse = HookResponse;
export interface EventUserProfilePreUpdate extends HookEventBase {}
export type EventUserProfilePreUpdateHookResponse = HookResponse;
export interface EventUserPreScheduleDeletion extends HookEventBase {}
export type EventUserPreScheduleDeletionHookResponse = HookResponse;
export interface EventUserPreScheduleAnonymization extends HookEventBase {}
export type EventUserPreScheduleAnonymizationHookResponse = HookResponse;
export interface EventOIDCJWTPreCreate extends HookEventBase {}
export type EventOIDCJWTPreCreateHookResponse = HookResponse;
export interface EventOIDCIDTokenPreCreate extends HookEventBase {}
export type EventOIDCIDTokenPreCreateHookResponse = HookResponse;
export interface EventAuthenticationPreInitialize extends HookEventBase {}
export type EventAuthenticationPreInitializeHookResponse = HookResponse;
export interface EventAuthenticationPostIdentified extends HookEventBase {}
export type EventAuthenticationPostIdentifiedHookResponse = HookResponse;
export interface EventAuthenticationPreAuthenticated extends HookEventBase {}
export type EventAuthenticationPreAuthenticatedHookResponse = HookResponse;

export interface EventUserCreated extends HookEventBase {}
export interface EventUserProfileUpdated extends HookEventBase {}
export interface EventUserAuthenticated extends HookEventBase {}
export interface EventUserAnonymousPromoted extends HookEventBase {}
export interface EventUserDisabled extends HookEventBase {}
export interface EventUserReenabled extends HookEventBase {}
export interface EventUserDeletionScheduled extends HookEventBase {}
export interface EventUserDeletionUnscheduled extends HookEventBase {}
export interface EventUserDeleted extends HookEventBase {}
export interface EventUserAnonymizationScheduled extends HookEventBase {}
export interface EventUserAnonymizationUnscheduled extends HookEventBase {}
export interface EventUserAnonymized extends HookEventBase {}
export interface EventIdentityEmailAdded extends HookEventBase {}
export interface EventIdentityEmailRemoved extends HookEventBase {}
export interface EventIdentityEmailUpdated extends HookEventBase {}
export interface EventIdentityPhoneAdded extends HookEventBase {}
export interface EventIdentityPhoneRemoved extends HookEventBase {}
export interface EventIdentityPhoneUpdated extends HookEventBase {}
export interface EventIdentityUsernameAdded extends HookEventBase {}
export interface EventIdentityUsernameRemoved extends HookEventBase {}
export interface EventIdentityUsernameUpdated extends HookEventBase {}
export interface EventIdentityOAuthConnected extends HookEventBase {}
export interface EventIdentityOAuthDisconnected extends HookEventBase {}
export interface EventIdentityEmailVerified extends HookEventBase {}
export interface EventIdentityPhoneVerified extends HookEventBase {}
export interface EventIdentityEmailUnverified extends HookEventBase {}
export interface EventIdentityPhoneUnverified extends HookEventBase {}

export type HookBlockingEvent =
  | EventUserPreCreate
  | EventUserProfilePreUpdate
  | EventUserPreScheduleDeletion
  | EventUserPreScheduleAnonymization
  | EventOIDCJWTPreCreate
  | EventOIDCIDTokenPreCreate
  | EventAuthenticationPreInitialize
  | EventAuthenticationPostIdentified
  | EventAuthenticationPreAuthenticated;
export type HookNonBlockingEvent =
  | EventUserCreated
  | EventUserProfileUpdated
  | EventUserAuthenticated
  | EventUserAnonymousPromoted
  | EventUserDisabled
  | EventUserReenabled
  | EventUserDeletionScheduled
  | EventUserDeletionUnscheduled
  | EventUserDeleted
  | EventUserAnonymizationScheduled
  | EventUserAnonymizationUnscheduled
  | EventUserAnonymized
  | EventIdentityEmailAdded
  | EventIdentityEmailRemoved
  | EventIdentityEmailUpdated
  | EventIdentityPhoneAdded
  | EventIdentityPhoneRemoved
  | EventIdentityPhoneUpdated
  | EventIdentityUsernameAdded
  | EventIdentityUsernameRemoved
  | EventIdentityUsernameUpdated
  | EventIdentityOAuthConnected
  | EventIdentityOAuthDisconnected
  | EventIdentityEmailVerified
  | EventIdentityPhoneVerified
  | EventIdentityEmailUnverified
  | EventIdentityPhoneUnverified;
export type HookEvent = HookBlockingEvent | HookNonBlockingEvent;

import { SocketAddress } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { TlsConfig } from './tls-config.ts';

/** An address in one spelling: certificates hold `2001:DB8:0:0:0:0:0:1`, people write `2001:db8::1`. */
function canonical(name: string): string {
  const family = name.includes(':') ? 'ipv6' : 'ipv4';
  return SocketAddress.parse(family === 'ipv6' ? `[${name}]:0` : `${name}:0`)?.address ?? name;
}

/**
 * The names in a certificate, from Node's text such as `DNS:a.example, IP Address:10.0.0.1`. A name with special
 * characters is quoted there as JSON: https://nodejs.org/api/crypto.html#x509subjectaltname
 */
export function alternativeNames(text: string | undefined): string[] {
  return [...(text ?? '').matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)].map(
    ([, kind, value = '']) => {
      const name = value.startsWith('"') ? String(JSON.parse(value)) : value;
      return kind === 'IP Address' ? canonical(name) : name;
    },
  );
}

/** Why a client is not let in by its certificate; undefined for one that is. */
export function refusedCertificate(tls: TlsConfig, socket: TLSSocket): string | undefined {
  if (!tls.requestCert) return undefined;
  const certificate = socket.getPeerX509Certificate();
  // Who shows none has none of the names that are asked for: upstream refuses that too.
  if (!certificate) return tls.requireAny || tls.allowedSans ? 'a client certificate is needed' : undefined;
  if (tls.verify && !socket.authorized) return 'the client certificate is not trusted';
  if (!tls.allowedSans) return undefined;
  const names = new Set(alternativeNames(certificate.subjectAltName));
  return tls.allowedSans.some((allowed) => names.has(canonical(allowed)))
    ? undefined
    : 'the client certificate is for another name';
}

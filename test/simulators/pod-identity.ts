import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Key } from './aws-signature.ts';

/**
 * The agent of EKS Pod Identity on its node: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
 * @param give credentials for a pod that shows the token
 */
export async function startPodIdentity(token: string, give: () => Key) {
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    const allowed = request.url === '/v1/credentials' && request.headers.authorization === token;
    response.writeHead(allowed ? 200 : 401, { 'content-type': 'application/json' });
    if (!allowed) return void response.end('{"code":"AccessDeniedException","message":"no such token"}');
    const { accessKeyId, secretAccessKey, sessionToken, expiresAt = 0 } = give();
    response.end(
      JSON.stringify({
        AccessKeyId: accessKeyId,
        SecretAccessKey: secretAccessKey,
        Token: sessionToken,
        AccountId: '123456789012',
        Expiration: new Date(expiresAt).toISOString(),
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/credentials`,
    requests: () => requests,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

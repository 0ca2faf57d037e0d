import type {
  IAuthenticateGeneric,
  ICredentialTestRequest,
  ICredentialType,
  INodeProperties,
} from 'n8n-workflow';

export class ConnectWyzeApi implements ICredentialType {
  name = 'connectWyzeApi';

  displayName = 'ConnectWyze API';

  icon = { light: 'file:../icons/connectwyze.svg', dark: 'file:../icons/connectwyze.dark.svg' } as const;

  documentationUrl = 'https://connectwyze.example/docs/guides/no-code';

  properties: INodeProperties[] = [
    {
      displayName: 'URL',
      name: 'url',
      type: 'string',
      required: true,
      default: '',
      placeholder: 'https://images.example.com',
      description: 'The URL of your ConnectWyze installation',
    },
    {
      displayName: 'API Key',
      name: 'apiKey',
      type: 'string',
      typeOptions: { password: true },
      required: true,
      default: '',
      description: 'A key with the scopes generate, read and feeds.write',
    },
  ];

  authenticate: IAuthenticateGeneric = {
    type: 'generic',
    properties: { headers: { Authorization: '=Bearer {{$credentials.apiKey}}' } },
  };

  test: ICredentialTestRequest = {
    request: { baseURL: '={{$credentials.url.replace(/\\/+$/, "")}}', url: '/v1/templates', qs: { limit: 1 } },
  };
}

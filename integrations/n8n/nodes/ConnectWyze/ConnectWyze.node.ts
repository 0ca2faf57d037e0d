import type {
  IDataObject,
  IExecuteFunctions,
  IHttpRequestOptions,
  ILoadOptionsFunctions,
  INodeExecutionData,
  INodePropertyOptions,
  INodeType,
  INodeTypeDescription,
  JsonObject,
} from 'n8n-workflow';
import { NodeApiError, NodeConnectionTypes, NodeOperationError } from 'n8n-workflow';

import { properties } from './properties';

const CREDENTIALS = 'connectWyzeApi';
// The API has at most so many entries on a page.
const PAGE_SIZE = 1000;

type Caller = IExecuteFunctions | ILoadOptionsFunctions;
type Request = Pick<IHttpRequestOptions, 'method' | 'body' | 'qs' | 'headers' | 'encoding'>;

async function send(caller: Caller, path: string, request: Request) {
  const { url } = await caller.getCredentials(CREDENTIALS);
  const options: IHttpRequestOptions = {
    ...request,
    url: `${String(url).replace(/\/+$/, '')}/v1${path}`,
    disableFollowRedirect: true,
    json: request.encoding === undefined,
    returnFullResponse: request.encoding !== undefined,
  };
  return await caller.helpers.httpRequestWithAuthentication.call(caller, CREDENTIALS, options);
}

/** List the entries of a collection as options: its name, and its id. */
async function listOptions(caller: Caller, collection: 'templates' | 'feeds'): Promise<INodePropertyOptions[]> {
  const page = await send(caller, `/${collection}`, { method: 'GET', qs: { limit: PAGE_SIZE } });
  return page[collection].map(({ id, name }: { id: string; name: string }) => ({ name, value: id }));
}

/** Return an object that a person has entered as JSON, or that an expression has made. */
function readObject(caller: IExecuteFunctions, name: string, index: number): IDataObject {
  const value = caller.getNodeParameter(name, index, {});
  try {
    const read = typeof value === 'string' ? JSON.parse(value || '{}') : value;
    if (typeof read === 'object' && read !== null && !Array.isArray(read)) return read;
  } catch {
    // It is not JSON.
  }
  throw new NodeOperationError(caller.getNode(), `“${name}” must be a JSON object, such as {"title": "Mug"}`, {
    itemIndex: index,
  });
}

async function renderImage(caller: IExecuteFunctions, index: number): Promise<INodeExecutionData> {
  const options = caller.getNodeParameter('options', index, {}) as IDataObject;
  const body = {
    template: caller.getNodeParameter('template', index),
    data: readObject(caller, 'data', index),
    ...options,
  };
  if (caller.getNodeParameter('output', index) === 'url') {
    return { json: await send(caller, '/images', { method: 'POST', body }) };
  }
  const response = await send(caller, '/images', {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { Accept: 'image/*', 'Content-Type': 'application/json' },
    encoding: 'arraybuffer',
  });
  const type = String(response.headers['content-type']);
  const name = `image.${type.split('/')[1].replace('jpeg', 'jpg')}`;
  const binary = await caller.helpers.prepareBinaryData(Buffer.from(response.body), name, type);
  return { json: { findings: response.headers.findings ?? '' }, binary: { data: binary } };
}

async function execute(caller: IExecuteFunctions, index: number): Promise<INodeExecutionData> {
  const operation = caller.getNodeParameter('operation', index) as string;
  switch (operation) {
    case 'render':
      return await renderImage(caller, index);
    case 'start': {
      const body = { feed: caller.getNodeParameter('feed', index), template: caller.getNodeParameter('template', index) };
      return { json: await send(caller, '/runs', { method: 'POST', body }) };
    }
    case 'getRun': {
      const id = encodeURIComponent(caller.getNodeParameter('run', index) as string);
      return { json: await send(caller, `/runs/${id}`, { method: 'GET' }) };
    }
    case 'upsert': {
      const [feed, key] = ['feed', 'key'].map((name) =>
        encodeURIComponent(caller.getNodeParameter(name, index) as string),
      );
      const body = { data: readObject(caller, 'columns', index) };
      return { json: await send(caller, `/feeds/${feed}/items/${key}`, { method: 'PUT', body }) };
    }
    default:
      throw new NodeOperationError(caller.getNode(), `Unknown operation “${operation}”`, { itemIndex: index });
  }
}

export class ConnectWyze implements INodeType {
  description: INodeTypeDescription = {
    displayName: 'ConnectWyze',
    name: 'connectWyze',
    icon: { light: 'file:../../icons/connectwyze.svg', dark: 'file:../../icons/connectwyze.dark.svg' },
    group: ['transform'],
    version: 1,
    subtitle: '={{$parameter["operation"] + ": " + $parameter["resource"]}}',
    description: 'Render images from templates and product feeds',
    defaults: { name: 'ConnectWyze' },
    usableAsTool: true,
    inputs: [NodeConnectionTypes.Main],
    outputs: [NodeConnectionTypes.Main],
    credentials: [{ name: CREDENTIALS, required: true }],
    properties,
  };

  methods = {
    loadOptions: {
      async getTemplates(this: ILoadOptionsFunctions) {
        return await listOptions(this, 'templates');
      },
      async getFeeds(this: ILoadOptionsFunctions) {
        return await listOptions(this, 'feeds');
      },
    },
  };

  async execute(this: IExecuteFunctions): Promise<INodeExecutionData[][]> {
    const results: INodeExecutionData[] = [];
    for (const index of this.getInputData().keys()) {
      try {
        results.push({ ...(await execute(this, index)), pairedItem: { item: index } });
      } catch (error) {
        if (!this.continueOnFail()) {
          throw error instanceof NodeOperationError
            ? new NodeOperationError(this.getNode(), error, { itemIndex: index })
            : new NodeApiError(this.getNode(), error as JsonObject, { itemIndex: index });
        }
        results.push({ json: { error: (error as Error).message }, pairedItem: { item: index } });
      }
    }
    return [results];
  }
}

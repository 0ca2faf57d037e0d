import type { INodeProperties } from 'n8n-workflow';

const template: INodeProperties = {
  displayName: 'Template Name or ID',
  name: 'template',
  type: 'options',
  typeOptions: { loadOptionsMethod: 'getTemplates' },
  required: true,
  default: '',
  description:
    'Choose from the list, or specify an ID using an <a href="https://docs.n8n.io/code/expressions/">expression</a>',
  displayOptions: { show: { operation: ['render', 'start'] } },
};

const feed: INodeProperties = {
  displayName: 'Feed Name or ID',
  name: 'feed',
  type: 'options',
  typeOptions: { loadOptionsMethod: 'getFeeds' },
  required: true,
  default: '',
  description:
    'Choose from the list, or specify an ID using an <a href="https://docs.n8n.io/code/expressions/">expression</a>',
  displayOptions: { show: { operation: ['start', 'upsert'] } },
};

export const properties: INodeProperties[] = [
  {
    displayName: 'Resource',
    name: 'resource',
    type: 'options',
    noDataExpression: true,
    default: 'image',
    options: [
      { name: 'Feed Item', value: 'feedItem' },
      { name: 'Image', value: 'image' },
      { name: 'Run', value: 'run' },
    ],
  },
  {
    displayName: 'Operation',
    name: 'operation',
    type: 'options',
    noDataExpression: true,
    default: 'render',
    displayOptions: { show: { resource: ['image'] } },
    options: [
      { name: 'Render', value: 'render', action: 'Render an image', description: 'Render an image from a template' },
    ],
  },
  {
    displayName: 'Operation',
    name: 'operation',
    type: 'options',
    noDataExpression: true,
    default: 'start',
    displayOptions: { show: { resource: ['run'] } },
    options: [
      { name: 'Get', value: 'getRun', action: 'Get a run', description: 'Get the state of a run and its counts' },
      { name: 'Start', value: 'start', action: 'Start a run', description: 'Render an image for each row of a feed' },
    ],
  },
  {
    displayName: 'Operation',
    name: 'operation',
    type: 'options',
    noDataExpression: true,
    default: 'upsert',
    displayOptions: { show: { resource: ['feedItem'] } },
    options: [
      {
        name: 'Create or Update',
        value: 'upsert',
        action: 'Create or update a feed item',
        description: 'Create a new record, or update the current one if it already exists (upsert)',
      },
    ],
  },
  template,
  feed,
  {
    displayName: 'Values',
    name: 'data',
    type: 'json',
    default: '{}',
    description: 'Values of the fields of the template, such as {"title": "Mug"}',
    displayOptions: { show: { operation: ['render'] } },
  },
  {
    displayName: 'Output',
    name: 'output',
    type: 'options',
    default: 'url',
    displayOptions: { show: { operation: ['render'] } },
    options: [
      { name: 'File', value: 'file', description: 'Return the image as binary data, without storing it' },
      { name: 'URL', value: 'url', description: 'Store the image in the storage of the workspace and return its URL' },
    ],
  },
  {
    displayName: 'Options',
    name: 'options',
    type: 'collection',
    default: {},
    placeholder: 'Add option',
    displayOptions: { show: { operation: ['render'] } },
    options: [
      {
        displayName: 'Format',
        name: 'format',
        type: 'options',
        default: 'jpg',
        options: [
          { name: 'AVIF', value: 'avif' },
          { name: 'JPEG', value: 'jpg' },
          { name: 'PNG', value: 'png' },
          { name: 'WebP', value: 'webp' },
        ],
      },
      {
        displayName: 'Scale',
        name: 'scale',
        type: 'number',
        typeOptions: { minValue: 1, maxValue: 3 },
        default: 1,
        description: 'How many pixels of the image correspond to one pixel of the template',
      },
      {
        displayName: 'Size',
        name: 'size',
        type: 'string',
        default: 'default',
        description: 'The name of a size of the template',
      },
    ],
  },
  {
    displayName: 'Run ID',
    name: 'run',
    type: 'string',
    required: true,
    default: '',
    displayOptions: { show: { operation: ['getRun'] } },
  },
  {
    displayName: 'Key',
    name: 'key',
    type: 'string',
    required: true,
    default: '',
    placeholder: 'mug-1',
    description: 'What identifies the item in the feed, such as its SKU',
    displayOptions: { show: { operation: ['upsert'] } },
  },
  {
    displayName: 'Columns',
    name: 'columns',
    type: 'json',
    default: '{}',
    description: 'Values of the columns of the feed, such as {"title": "Mug", "price": "24.00"}',
    displayOptions: { show: { operation: ['upsert'] } },
  },
];
